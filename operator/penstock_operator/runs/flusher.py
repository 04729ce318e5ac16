"""When a run's status is stored, and what follows from that."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from penstock.engine.keys import RunKey
from penstock.kube.errors import ApiError, ApiUnreachableError
from penstock_operator.metrics import Metrics
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.status import StatusStore, Stored

logger = logging.getLogger(__name__)

LEAST_PAUSE_S: Final = 0.1
"""Between two flushes of a run's status."""
DUTY: Final = 20.0
"""The next flush begins no sooner than this many times the last one's duration after it. With more runs than this that
have something to store, it is their number: then all of them together keep about one flush under way."""
LONGEST_PAUSE_S: Final = 20.0
"""Whoever looks at a run sees no older state of it, however large it is and however busy the API server."""
RETRY_S: Final = 5.0
"""When to try again to store a status that could not be stored."""


@dataclass(frozen=True, slots=True)
class FlushListener:
    """Who hears of flushes.

    Attributes:
        spawn: runs a flush in the background.
        wake: has a run looked at, at a time in monotonic seconds.
        stored: told of each status that is stored.
        failed: told why one was not.
    """

    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    wake: Callable[[LiveRun, float], None]
    stored: Callable[[LiveRun], None]
    failed: Callable[[LiveRun, Stored], Coroutine[Any, Any, None]]


class StatusFlusher:
    """Stores what machines decide.

    Args:
        statuses: stores it.
        metrics: where work is counted.
        listener: who hears of it.
    """

    def __init__(self, statuses: StatusStore, metrics: Metrics, listener: FlushListener) -> None:
        self._statuses = statuses
        self._metrics = metrics
        self._listener = listener
        self._unstored: set[RunKey] = set()

    def flush_when_due(self, run: LiveRun, *, is_urgent: bool) -> None:
        """Store a changed status: now, or when it is due."""
        now = time.monotonic()
        if run.unstored_since is None:
            run.unstored_since = now
            self._unstored.add(run.key)
        if run.flushing is not None:
            return
        if is_urgent or now >= run.next_flush_at:
            run.flushing = self._listener.spawn(self._flush(run))
        else:
            self._listener.wake(run, run.next_flush_at)

    def forget(self, run: LiveRun) -> None:
        """Learn that nothing more of a run is stored."""
        self._unstored.discard(run.key)

    def _next_flush_at(self, started_at: float, ended_at: float) -> float:
        """Return when a run may be stored again, in monotonic seconds."""
        pause_s = max(DUTY, len(self._unstored)) * (ended_at - started_at)
        return ended_at + min(max(LEAST_PAUSE_S, pause_s), LONGEST_PAUSE_S)

    async def _flush(self, run: LiveRun) -> None:
        machine = run.machine
        assert machine is not None
        # A task runs when the loop gets to it: what the same burst of events brings is in this flush.
        changes = machine.take_changes()
        started_at = time.monotonic()
        stored = Stored.NOT_NOW
        try:
            stored = await self._statuses.store(run, changes.status, changes.operations)
        except ApiError as error:
            logger.warning("%s: its status can't be stored: %s", run.key, error)
        except ApiUnreachableError as error:
            logger.info("%s: its status can't be stored now: %s", run.key, error)
        finally:
            run.flushing = None
            run.next_flush_at = self._next_flush_at(started_at, time.monotonic())
        self._metrics.status_flush_duration.observe(time.monotonic() - started_at)
        if stored is Stored.YES:
            was_held_back = not run.may_create(time.monotonic())
            run.unstored_since = None
            self._unstored.discard(run.key)
            run.is_slot_unstored = False
            is_work = machine.mark_stored(changes.version)
            self._listener.stored(run)
            if not (is_work or was_held_back):
                return
        else:
            machine.mark_not_stored(changes)
            run.next_flush_at = max(run.next_flush_at, time.monotonic() + RETRY_S)
            await self._listener.failed(run, stored)
        self._listener.wake(run, time.monotonic())
