"""Runs without a machine: what they wait for, or how they ended before they started, goes into their statuses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from penstock.engine.concurrency.slots import Slots
from penstock.engine.machine.run.unstarted import Ended, Waiting
from penstock.engine.reasons import Reason
from penstock.engine.state import SUCCESSFUL_RUN_STATES, RunState
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runs.status import StatusFlusher
from penstock_operator.runtime.recorder import EventRecorder

logger = logging.getLogger(__name__)

ASKED_FOR: Final = frozenset({RunState.SCHEDULED, RunState.PAUSED})
"""States in which a run waits because its spec says so: no Event is recorded about that."""

LONGEST_SLEEP_S: Final = 3600.0
"""A clock may be set: a run that waits for its time is reconciled at least this often."""
POSITION_PAUSE_S: Final = 0.01
"""Between two writes of a run's position in its queue, times the runs that wait: many must not fill the API server."""
LONGEST_POSITION_PAUSE_S: Final = 30.0


class PendingRuns:
    """Keeps the statuses of runs that have not started.

    Args:
        flusher: stores them.
        registry: has runs reconciled.
        slots: the number of runs that wait for one.
        recorder: for Events.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        flusher: StatusFlusher,
        registry: RunRegistry,
        slots: Slots,
        recorder: EventRecorder,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._flusher = flusher
        self._registry = registry
        self._slots = slots
        self._recorder = recorder
        self._clock = clock

    async def park_run(self, run: LiveRun, waiting: Waiting) -> None:
        """Have a run wait, and store what for."""
        now = time.monotonic()
        if waiting.due_at is not None:
            self._registry.reconcile_at(run, now + min(max(waiting.due_at - self._clock(), 0.0), LONGEST_SLEEP_S))
        if waiting.is_stored_in(run.head) and run.observed_generation == run.generation:
            return
        is_new = run.head.get("reason") != waiting.reason
        if not is_new and waiting.position is not None and now < run.next_flush_at:
            self._registry.reconcile_at(run, run.next_flush_at)
            return
        if not await self._flusher.store_now(run, waiting.status(run.created_at)):
            return
        run.next_flush_at = time.monotonic() + min(POSITION_PAUSE_S * self._slots.waiting, LONGEST_POSITION_PAUSE_S)
        if is_new and waiting.state not in ASKED_FOR:
            reason = waiting.state if waiting.state is RunState.QUEUED else waiting.reason
            is_warning = waiting.reason == Reason.FLOW_NOT_FOUND
            self._recorder.record(run.regarding, is_warning=is_warning, reason=str(reason), note=waiting.message)

    async def end_run(self, run: LiveRun, ended: Ended) -> bool:
        """End a run that cannot run; false if that was not stored and the run is to be reconciled again."""
        logger.info("FlowRun %s ended before it started: %s: %s", run.key, ended.reason, ended.message)
        if not await self._flusher.store_now(run, ended.status(self._clock(), before=run.head)):
            return False
        is_warning = ended.state not in SUCCESSFUL_RUN_STATES
        self._recorder.record(run.regarding, is_warning=is_warning, reason=str(ended.state), note=ended.message)
        return True
