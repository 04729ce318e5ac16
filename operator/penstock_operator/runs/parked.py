"""Parked runs: work about one failed unexpectedly, so it is set aside, resumed from its stored status after a pause.

What was in memory may be wrong, so the machine is dropped at once. The run stays among the live runs meanwhile: it
keeps its slot, and the facts about its Pods come in with the next read.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from penstock.engine.keys import ObjectKey, RunKey
from penstock.engine.machine.run.unstarted import Waiting
from penstock.engine.reasons import Reason
from penstock.engine.state import FINAL_RUN_STATES, RunState
from penstock.kube.errors import ApiError, ApiUnreachableError
from penstock_operator.metrics import Metrics
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runs.status import ForgedEpochError, StatusStore, Stored
from penstock_operator.runtime.parking import Parking, describe_error
from penstock_operator.runtime.recorder import EventRecorder

logger = logging.getLogger(__name__)

MESSAGE: Final = "{}; the log of the operator has the details. The run is resumed after a growing pause"


class ParkedRuns:
    """Sets runs aside, and says so in their statuses.

    Args:
        statuses: stores that.
        registry: the live runs.
        recorder: for Events.
        metrics: where parked runs are counted.
    """

    def __init__(self, statuses: StatusStore, registry: RunRegistry, recorder: EventRecorder, metrics: Metrics) -> None:
        self._statuses = statuses
        self._registry = registry
        self._recorder = recorder
        self._parking: Parking[RunKey] = Parking("FlowRun", metrics)

    def park(self, run: LiveRun, error: Exception) -> None:
        """Set a run aside, unless it was forgotten meanwhile."""
        if not self._registry.is_live(run):
            self._parking.count_error(run.key, error, "it is not live any more")
            return
        run.machine, run.is_parked = None, True
        run.facts.clear()
        self._registry.queue.add_at(run.key, self._parking.park(run.key, error))
        self._registry.spawn_about("FlowRun", run.key, self._store(run, MESSAGE.format(describe_error(error))))

    async def park_unloaded(self, key: RunKey, error: Exception) -> None:
        """Set a run aside that could not even be made live."""
        self._registry.queue.add_at(key, self._parking.park(key, error))
        found = await self._statuses.read_run(key)
        if found is not None and not found.is_finished:
            await self._store(LiveRun.of_object(found), MESSAGE.format(describe_error(error)))

    def holds_back(self, key: RunKey) -> bool:
        """Whether a run is left alone for now; then it is queued again in time."""
        retry_at = self._parking.retry_at(key)
        if retry_at is None:
            return False
        self._registry.queue.add_at(key, retry_at)
        return True

    def release(self, key: RunKey) -> None:
        """Have a run reconciled at once if it is parked: it has changed."""
        if self._parking.retry_at(key) is not None:
            self._parking.release(key)
            self._registry.queue.add(key)

    def release_runs_of(self, flow: ObjectKey) -> None:
        """Have the parked runs of a Flow reconciled: it has changed."""
        for key in self._parking.parked:
            run = self._registry.find_run_by_key(key)
            if run is not None and run.flow_key == flow:
                self.release(key)

    def succeed(self, key: RunKey) -> None:
        """Note that a run was reconciled without an error."""
        self._parking.succeed(key)

    def forget_run(self, key: RunKey) -> None:
        """Forget a run that has finished or was deleted."""
        self._parking.forget_object(key)

    async def _store(self, run: LiveRun, message: str) -> None:
        if run.flushing is not None:
            await asyncio.wait([run.flushing])
        if (run.head.get("reason"), run.head.get("message")) == (Reason.INTERNAL_ERROR, message):
            return
        if run.head.get("state") in FINAL_RUN_STATES:
            # By whoever wrote the status. It is not continued after the pause.
            return
        status, operations = None, _changes(run, message)
        if not operations:
            status = Waiting(RunState.PENDING, Reason.INTERNAL_ERROR, message).status(run.created_at)
        try:
            stored = await self._statuses.store_status(run, status, operations)
        except (ApiError, ApiUnreachableError, ForgedEpochError) as error:
            logger.warning("FlowRun %s: failed to store that it is parked: %s", run.key, error)
            return
        if stored is Stored.YES:
            self._recorder.record(run.regarding, is_warning=True, reason=Reason.INTERNAL_ERROR, note=message)


def _changes(run: LiveRun, message: str) -> list[dict[str, Any]]:
    """Return how the stored status of a run is changed; nothing if no machine has stored one."""
    if "progress" not in run.head:
        return []
    fields: dict[str, Any] = {"reason": str(Reason.INTERNAL_ERROR), "message": message}
    if run.head.get("conditions"):
        fields["conditions"] = [{**one, "message": message} for one in run.head["conditions"]]
    return [{"op": "add", "path": f"/status/{name}", "value": value} for name, value in fields.items()]
