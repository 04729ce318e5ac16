"""Stored runs: the folders of runs that stored a result or an artifact, which can be resumed.

The kernel releases the lock of a run when its process ends for any reason: so a killed run differs from a running one.
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

from penstock.authoring.loggers import FLOW_LOGGER
from penstock.authoring.storage.home import home, make_folder, write_file
from penstock.errors import ResumeError

KEPT_S: Final = 30 * 24 * 3600.0
"""How long a stored run is kept after its end, in seconds."""
SWEPT_EVERY_S: Final = 24 * 3600.0
LAST: Final = frozenset({"1", "true", "last", "yes"})
OFF: Final = frozenset({"", "0", "false", "no"})


class StoredRun(NamedTuple):
    """A stored run."""

    id: UUID
    name: str
    state: str


class RunRecord:
    """The folder of a stored run, locked while it runs.

    Args:
        folder: the folder of the run; created if it does not exist.
        facts: the content of `run.json` without the state.
    """

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.folder = make_folder(folder)
        self._facts = facts
        self._lock: IO[str] | None = _take_lock(folder)
        self.write_state("Running")

    def write_state(self, state: str) -> None:
        """Store the state of the run."""
        write_file(self.folder / "run.json", json.dumps({**self._facts, "state": state, "time": time.time()}).encode())

    def close(self, state: str) -> None:
        """Store the final state of the run, and release its lock."""
        self.write_state(state)
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def find_run(wanted: str, *, key: str, parameters: str | None) -> StoredRun | None:
    """Find the run to resume.

    Args:
        wanted: `last`, or the name or id of a run.
        key: key of the flow.
        parameters: fingerprint of the parameters; None if they have none.

    Returns:
        The run; None for `last` if the last run completed or does not exist.

    Raises:
        ResumeError: the named run does not exist, has another flow or other parameters, or is still running.
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
        raise ResumeError(f"run {wanted!r} not found in {home() / 'runs'}: only runs that store results can be resumed")
    if named["key"] != key:
        raise ResumeError(f"run {wanted!r} belongs to flow {named['flow']!r}, not to this one")
    if named["parameters"] != parameters:
        raise ResumeError(f"run {wanted!r} had different parameters: call the flow with those")
    if _is_running(named):
        raise ResumeError(f"run {wanted!r} is still running, in process {named['pid']}")
    return StoredRun(UUID(named["id"]), named["name"], named["state"])


def sweep_runs(*, now: float) -> None:
    """Remove runs that finished long ago; checks once a day."""
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
            FLOW_LOGGER.warning("cannot read %s: that run cannot be resumed", path)
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


def describe_run(
    *, run_id: UUID, name: str, flow: str, key: str, parameters: str | None, started: float
) -> dict[str, Any]:
    """Return the content of `run.json` without the state."""
    return {
        "id": str(run_id),
        "name": name,
        "flow": flow,
        "key": key,
        "parameters": parameters,
        "started": started,
        "pid": os.getpid(),
    }
