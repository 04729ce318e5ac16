"""What a served deployment remembers between two lives of its process, and that only one process serves it."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from penstock.authoring.home import home, make_folder, write_file
from penstock.engine.ticks.firing import Ledger
from penstock.errors import OptionError

DIGITS: Final = 16


class LedgerFile:
    """The file of one deployment, held while it is served.

    Args:
        key: what tells the deployment apart from others: its name, and where its flow stands.
        timing: what says when it is due; with another one, what was decided before is forgotten.
        is_kept: whether to remember at all.

    Raises:
        OptionError: another process serves it.
    """

    def __init__(self, key: str, timing: Mapping[str, Any], *, is_kept: bool) -> None:
        self._path = home() / "served" / f"{_digest(key)}.json"
        self._timing = _digest(json.dumps(timing, sort_keys=True, default=str))
        self._is_kept = is_kept
        self._lock = _lock(make_folder(self._path.parent) / f"{self._path.stem}.lock", key)

    def read(self, now: datetime) -> Ledger:
        """Return what was decided; as of now, if nothing is remembered."""
        try:
            facts = json.loads(self._path.read_bytes()) if self._is_kept else {}
            if facts.get("timing") == self._timing:
                queued = tuple(datetime.fromisoformat(each) for each in facts["queued"])
                return Ledger(datetime.fromisoformat(facts["decided"]), queued)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # it was never written, or is broken: what is forgotten is made up for by nobody
        return Ledger(now)

    def write(self, ledger: Ledger) -> None:
        """Remember what was decided."""
        if self._is_kept:
            facts = {
                "timing": self._timing,
                "decided": ledger.decided.isoformat(),
                "queued": [each.isoformat() for each in ledger.queued],
            }
            write_file(self._path, json.dumps(facts).encode())

    def close(self) -> None:
        """Let another process serve it; what need not be remembered goes."""
        if not self._is_kept:
            self._path.unlink(missing_ok=True)
        self._lock.close()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _lock(path: Path, key: str) -> IO[str]:
    file = path.open("w")
    try:
        # The kernel lets it go when the process ends, however it ends.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise OptionError(
            f"{key.partition('|')[0]!r} is served by another process already: give it another name"
        ) from error
    return file
