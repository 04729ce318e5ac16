"""The anteroom: what runs without a machine wait for, or how they ended without one, is stored and told."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from penstock.engine.concurrency.slots import Slots
from penstock.engine.machine.unstarted import Ended, Waiting
from penstock.engine.state import SUCCESSFUL_RUN_STATES
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.status import StatusStore, Stored
from penstock_operator.runtime.recorder import EventRecorder

logger = logging.getLogger(__name__)

LONGEST_SLEEP_S: Final = 3600.0
"""A clock may be set: a run that waits for its time is looked at at least this often."""
PLACE_PAUSE_S: Final = 0.01
"""Between two tellings of a run's place in a queue, for each run that waits: many must not fill the API server."""
LONGEST_PLACE_PAUSE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class AnteroomListener:
    """Who hears of the runs.

    Attributes:
        wake: has a run looked at, at a time in monotonic seconds.
        stored: told of each status that is stored.
        failed: told why one was not.
    """

    wake: Callable[[LiveRun, float], None]
    stored: Callable[[LiveRun], None]
    failed: Callable[[LiveRun, Stored], Awaitable[None]]


class PendingRuns:
    """Keeps the statuses of runs that have not started.

    Args:
        statuses: stores them.
        slots: knows how many wait.
        recorder: for Events.
        listener: who hears of the runs.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        statuses: StatusStore,
        slots: Slots,
        recorder: EventRecorder,
        *,
        listener: AnteroomListener,
        clock: Callable[[], float],
    ) -> None:
        self._statuses = statuses
        self._slots = slots
        self._recorder = recorder
        self._listener = listener
        self._clock = clock

    async def park(self, run: LiveRun, parked: Waiting) -> None:
        """Have a run wait, and say so."""
        now = time.monotonic()
        if parked.due_at is not None:
            self._listener.wake(run, now + min(max(parked.due_at - self._clock(), 0.0), LONGEST_SLEEP_S))
        if parked.is_stored_in(run.head) and run.observed_generation == run.generation:
            return
        is_new = run.head.get("reason") != parked.reason
        if not is_new and parked.position is not None and now < run.next_flush_at:
            self._listener.wake(run, run.next_flush_at)
            return
        if not await self._store(run, parked.status(run.created_at)):
            return
        run.next_flush_at = time.monotonic() + min(PLACE_PAUSE_S * self._slots.waiting, LONGEST_PLACE_PAUSE_S)
        if is_new and parked.position is not None:
            self._recorder.record(run.regarding, is_warning=False, reason=str(parked.state), note=parked.message)

    async def end(self, run: LiveRun, ended: Ended) -> bool:
        """End a run that can't go on; false if that could not be stored, and the run is to be looked at again."""
        logger.info("%s ends before it runs: %s: %s", run.key, ended.reason, ended.message)
        if not await self._store(run, ended.status(self._clock(), before=run.head)):
            return False
        is_warning = ended.state not in SUCCESSFUL_RUN_STATES
        self._recorder.record(run.regarding, is_warning=is_warning, reason=str(ended.state), note=ended.message)
        return True

    async def _store(self, run: LiveRun, status: dict[str, Any]) -> bool:
        stored = await self._statuses.store(run, status, [])
        if stored is Stored.YES:
            self._listener.stored(run)
            return True
        await self._listener.failed(run, stored)
        self._listener.wake(run, time.monotonic())
        return False
