"""Code of a Python flow as a zip file in an object store, or in a directory that all Pods share."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from typing import Final, NamedTuple

from penstock.authoring.pods.code_source import ZIP
from penstock.cli.deployment.code_map import Module
from penstock.errors import CommandError, ResultError
from penstock.runner.storage import open_storage

FOLDER: Final = "code"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time in zip files; a fixed time makes the zip file reproducible."""


class Archive(NamedTuple):
    """A zip file, and its destination."""

    base: str
    """URL of the store, or a directory."""
    data: bytes

    @property
    def place(self) -> str:
        """Its path in the store, named by its SHA-256."""
        return f"{FOLDER}/{hashlib.sha256(self.data).hexdigest()}{ZIP}"

    @property
    def url(self) -> str:
        """The URL from which Pods fetch it.

        Raises:
            CommandError: the kind of store is unknown.
        """
        try:
            return open_storage(self.base).url(self.place)
        except ResultError as error:
            raise CommandError(f"--source {self.base}: {error}") from error

    def upload(self) -> None:
        """Write it to the store.

        Raises:
            CommandError: it cannot be written.
        """
        try:
            open_storage(self.base).write(self.place, self.data)
        except ResultError as error:
            raise CommandError(f"--source {self.base}: {error}") from error


def pack(modules: Sequence[Module], base: str) -> Archive:
    """Pack code into a zip file that Python can import from.

    Args:
        modules: the code.
        base: URL of the store, or a directory.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for module in sorted(modules):
            archive.writestr(zipfile.ZipInfo(module.place, _EPOCH), module.text)
    return Archive(base.rstrip("/"), file.getvalue())
