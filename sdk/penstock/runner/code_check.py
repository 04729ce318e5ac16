"""Checking code that is mounted into a Pod, before it is imported."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from penstock.authoring.pods.code_digest import digest_of
from penstock.authoring.pods.entrypoint import CODE_VARIABLE
from penstock.authoring.pods.pod_call import CODE_DIGEST
from penstock.errors import CodeError

SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - the folder in it gets a random name, and is the user's own
"""Writable in a container without any other folder that is."""


def check_code() -> None:
    """Compare the mounted code with the digest in the environment, and have a copy imported.

    A copy, because a mounted ConfigMap that is not immutable may change between the check and the import.

    Raises:
        CodeError: it is other code, or cannot be read.
    """
    folder, digest = os.environ.get(CODE_VARIABLE, ""), os.environ[CODE_DIGEST]
    try:
        files = dict(_read_files(Path(folder)))
        if digest_of(files.items()) != digest:
            raise CodeError(
                f"{folder} is not the code that was deployed: its SHA-256 differs. The ConfigMap that is mounted there "
                "has been replaced: find out by whom, delete it, and deploy the flow again"
            )
        copy = _new_folder()
        for place, content in files.items():
            path = copy / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise CodeError(f"cannot take the code from {folder}: {error}") from error
    os.environ[CODE_VARIABLE] = str(copy)


def _read_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Read all files. Those of a ConfigMap are links into folders whose names begin with two dots."""
    for path, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith("..")]
        for name in names:
            file = Path(path, name)
            yield file.relative_to(folder).as_posix(), file.read_bytes()


def _new_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="penstock-code-"))
    except FileNotFoundError:
        # The root file system is read-only, and nothing else is mounted.
        return Path(tempfile.mkdtemp(prefix="penstock-code-", dir=SHARED_MEMORY))
