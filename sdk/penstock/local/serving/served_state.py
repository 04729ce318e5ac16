"""The stored state of a served deployment: which ticks were handled, and the lock of the process that serves it."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from penstock.authoring.storage.home import home, make_folder, write_file
from penstock.engine.ticks.due_and_missed import Ledger
from penstock.errors import OptionError

DIGITS: Final = 16


class ServedStateFile:
    """The state file of one deployment, locked while it is served.

    Args:
        key: identifies the deployment: its name, and the location of its flow.
        timing: its schedule; if it changes, the stored state is discarded.
        is_kept: whether state is stored at all.

    Raises:
        OptionError: another process serves the deployment.
    """

    def __init__(self, key: str, timing: Mapping[str, Any], *, is_kept: bool) -> None:
        self._path = home() / "served" / f"{_digest(key)}.json"
        self._timing = _digest(json.dumps(timing, sort_keys=True, default=str))
        self._is_kept = is_kept
        self._lock = _lock(make_folder(self._path.parent) / f"{self._path.stem}.lock", key)

    def read_ledger(self, now: datetime) -> Ledger:
        """Return the stored ledger; one that starts now if there is none."""
        try:
            facts = json.loads(self._path.read_bytes()) if self._is_kept else {}
            if facts.get("timing") == self._timing:
                queued = tuple(datetime.fromisoformat(each) for each in facts["queued"])
                return Ledger(datetime.fromisoformat(facts["decided"]), queued)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # it does not exist or is invalid: earlier ticks are ignored
        return Ledger(now)

    def write_ledger(self, ledger: Ledger) -> None:
        """Store the ledger."""
        if self._is_kept:
            facts = {
                "timing": self._timing,
                "decided": ledger.decided.isoformat(),
                "queued": [each.isoformat() for each in ledger.queued],
            }
            write_file(self._path, json.dumps(facts).encode())

    def close(self) -> None:
        """Release the lock, and delete the file if state is not stored."""
        if not self._is_kept:
            self._path.unlink(missing_ok=True)
        self._lock.close()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _lock(path: Path, key: str) -> IO[str]:
    file = path.open("w")
    try:
        # The kernel releases it when the process ends, for any reason.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise OptionError(
            f"{key.partition('|')[0]!r} is already served by another process: use another name"
        ) from error
    return file
