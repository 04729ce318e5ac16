"""Records of runs that kept something, so that a run that was killed can be resumed.

Only a run that keeps a result or an artifact has one. Its lock, which the kernel lets go when the process ends, however
it ends, tells a killed run from one that still runs.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple
from uuid import UUID

from penstock.authoring.context import FLOW_LOGGER
from penstock.authoring.home import home, make_folder, write_file
from penstock.errors import ResumeError

KEPT_S: Final = 30 * 24 * 3600.0
"""How long a finished run is kept."""
SWEPT_EVERY_S: Final = 24 * 3600.0
LAST: Final = frozenset({"1", "true", "last", "yes"})
OFF: Final = frozenset({"", "0", "false", "no"})


class StoredRun(NamedTuple):
    """What is known of a run that kept something."""

    id: UUID
    name: str
    state: str


class Record:
    """The folder of a run that keeps something, open while it runs.

    Args:
        folder: the run's folder; made if it does not exist.
        facts: what `run.json` says besides the state.
    """

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.folder = make_folder(folder)
        self._facts = facts
        self._lock: IO[str] | None = _take_lock(folder)
        self.write("Running")

    def write(self, state: str) -> None:
        """Store the run's state."""
        write_file(self.folder / "run.json", json.dumps({**self._facts, "state": state, "time": time.time()}).encode())

    def close(self, state: str) -> None:
        """Store the run's final state, and let the run go."""
        self.write(state)
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def find(wanted: str, *, key: str, parameters: str | None) -> StoredRun | None:
    """Find the run to resume.

    Args:
        wanted: `last`, or the name or id of a run.
        key: of the flow.
        parameters: their fingerprint; None if they have none.

    Returns:
        The run; None if the last one is asked for, and there is none that did not complete.

    Raises:
        ResumeError: the run that is named does not exist, is of another flow or other parameters, or still runs.
    """
    runs = sorted(_read_all(), key=lambda facts: -facts["started"])
    if wanted.lower() in LAST:
        for facts in runs:
            if facts["key"] == key and facts["parameters"] == parameters and parameters is not None:
                is_open = facts["state"] != "Completed" and not _is_running(facts)
                return StoredRun(UUID(facts["id"]), facts["name"], facts["state"]) if is_open else None
        return None
    named = next((facts for facts in runs if wanted in {facts["name"], facts["id"]}), None)
    if named is None:
        raise ResumeError(
            f"there is no run {wanted!r} in {home() / 'runs'}: only runs that keep results can be resumed"
        )
    if named["key"] != key:
        raise ResumeError(f"run {wanted!r} is one of flow {named['flow']!r}, not of this one")
    if named["parameters"] != parameters:
        raise ResumeError(f"run {wanted!r} had other parameters: call the flow with the same ones")
    if _is_running(named):
        raise ResumeError(f"run {wanted!r} is still running, in process {named['pid']}")
    return StoredRun(UUID(named["id"]), named["name"], named["state"])


def sweep(*, now: float) -> None:
    """Remove runs that have been over for long; looks for them once a day."""
    marker = home() / "runs" / ".swept"
    try:
        if marker.stat().st_mtime > now - SWEPT_EVERY_S:
            return
    except FileNotFoundError:
        pass
    write_file(marker, b"")
    for facts in _read_all():
        if facts["time"] < now - KEPT_S and not _is_running(facts):
            shutil.rmtree(home() / "runs" / facts["id"], ignore_errors=True)


def _read_all() -> Iterator[dict[str, Any]]:
    for path in (home() / "runs").glob("*/run.json"):
        try:
            facts = json.loads(path.read_bytes())
            UUID(facts["id"])
        except (OSError, ValueError, KeyError, TypeError):
            FLOW_LOGGER.warning("%s can't be read, so that run can't be resumed", path)
        else:
            yield facts


def _take_lock(folder: Path) -> IO[str]:
    file = (folder / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ResumeError(f"the run in {folder} is already running in another process") from error
    return file


def _is_running(facts: dict[str, Any]) -> bool:
    try:
        file = (home() / "runs" / facts["id"] / "lock").open()
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def describe(*, run_id: UUID, name: str, flow: str, key: str, parameters: str | None, started: float) -> dict[str, Any]:
    """Return what `run.json` says of a run besides its state."""
    return {
        "id": str(run_id),
        "name": name,
        "flow": flow,
        "key": key,
        "parameters": parameters,
        "started": started,
        "pid": os.getpid(),
    }
