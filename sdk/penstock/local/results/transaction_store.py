"""What transactions with keys have committed: files among the stored results."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, Final, NamedTuple

from penstock.authoring.storage.home import home, make_folder
from penstock.local.results.results import StoredResult, file_name

_NAMESPACE: Final = "transaction "
"""Apart from the keys of tasks, whose results are not expected here."""


class CommittedValue(NamedTuple):
    """What a transaction has stored."""

    result: Any


class StoredTransaction:
    """The stored value of a transaction with a key.

    Args:
        key: the key; any text.
        folder: the folder of the flow's results; None for that of this user.
        is_locked: let one transaction with the key run at a time.
    """

    def __init__(self, key: str, folder: str | None, *, is_locked: bool) -> None:
        results = home() / "results" if folder is None else Path(folder)
        self._stored = StoredResult(results / file_name(_NAMESPACE + key), key, "pickle")
        self._lock_path = home() / "locks" / file_name(key)
        self._is_locked = is_locked
        self._descriptor: int | None = None

    def begin(self) -> None:
        """Wait until no other transaction holds the key."""
        if self._is_locked:
            make_folder(self._lock_path.parent)
            self._descriptor = os.open(self._lock_path, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def read(self) -> CommittedValue | None:
        """Return what has been committed; None if there is nothing."""
        found = self._stored.read_result()
        return None if found is None else CommittedValue(found.value)

    def write(self, value: Any) -> None:
        """Store a value.

        Raises:
            ResultError: it cannot be serialized, or the file cannot be written.
        """
        self._stored.write_result(value, expiration_s=None)

    def end(self) -> None:
        """Let the next transaction begin."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
