"""A folder, as a block."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

from penstock.authoring.awaiting import awaitable
from penstock.authoring.storage.home import home, write_file
from penstock.errors import VariableError
from penstock.local.blocks.block import Block


class LocalFileSystem(Block):
    """A folder of this machine: for `result_storage`, and for files of your own."""

    _block_type_name: ClassVar[str | None] = "Local File System"

    basepath: str | None = None
    """The folder; that of results if not given."""

    @awaitable
    def read_path(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            VariableError: the path leaves the folder, or is not a file.
        """
        file = self._resolve(path)
        if not file.is_file():
            raise VariableError(f"{str(file)!r} is not a file")
        return file.read_bytes()

    @awaitable
    def write_path(self, path: str, content: bytes) -> str:
        """Write a file, and return its path."""
        file = self._resolve(path)
        write_file(file, content)
        return str(file)

    @awaitable
    def get_directory(self, from_path: str | None = None, local_path: str | None = None) -> None:
        """Copy the folder, or one below it, to another place."""
        shutil.copytree(self._resolve(from_path or "."), local_path or ".", dirs_exist_ok=True)

    @awaitable
    def put_directory(self, local_path: str | None = None, to_path: str | None = None) -> None:
        """Copy another folder into this one."""
        shutil.copytree(local_path or ".", self._resolve(to_path or "."), dirs_exist_ok=True)

    def _resolve(self, path: str) -> Path:
        root = Path(self.basepath or home() / "results").expanduser().resolve()
        resolved = (root / path).resolve()
        if not resolved.is_relative_to(root):
            raise VariableError(f"{path!r} is not inside of {str(root)!r}")
        return resolved
