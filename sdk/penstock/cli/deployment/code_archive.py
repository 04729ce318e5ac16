"""Code of a Python flow as a zip in a store, or in a folder that all Pods share."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from typing import Final, NamedTuple

from penstock.authoring.code_source import ZIP
from penstock.cli.deployment.code_map import Module
from penstock.errors import CommandError, ResultError
from penstock.runner.storage import open_storage

FOLDER: Final = "code"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip knows: the same code is the same zip."""


class Archive(NamedTuple):
    """A zip, and where it goes."""

    base: str
    """URL of the store, or a folder."""
    data: bytes

    @property
    def place(self) -> str:
        """Where it is below that: it is called by its SHA-256."""
        return f"{FOLDER}/{hashlib.sha256(self.data).hexdigest()}{ZIP}"

    @property
    def url(self) -> str:
        """Where Pods fetch it from.

        Raises:
            CommandError: there is no such kind of store.
        """
        try:
            return open_storage(self.base).url(self.place)
        except ResultError as error:
            raise CommandError(f"--source {self.base}: {error}") from error

    def upload(self) -> None:
        """Put it there.

        Raises:
            CommandError: it can't be written.
        """
        try:
            open_storage(self.base).write(self.place, self.data)
        except ResultError as error:
            raise CommandError(f"--source {self.base}: {error}") from error


def pack(modules: Sequence[Module], base: str) -> Archive:
    """Pack code, so that Python can import it as it is.

    Args:
        modules: the code.
        base: where it is to go.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for module in sorted(modules):
            archive.writestr(zipfile.ZipInfo(module.place, _EPOCH), module.text)
    return Archive(base.rstrip("/"), file.getvalue())
