"""Creates the runs of Schedules, cancels those that are replaced, and deletes those that history does not keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from penstock.engine.keys import ObjectKey, RunKey
from penstock.engine.machine.run.shutdown import Shutdown, ShutdownMode
from penstock.engine.reasons import Reason
from penstock.engine.ticks.due_and_missed import Ledger
from penstock.errors import ExpressionError
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.errors import ApiError, is_already_exists, is_conflict, is_namespace_terminating, is_not_found
from penstock.kube.idle import IdleSignal
from penstock.kube.kinds.run_summary import RunSummary
from penstock.kube.kinds.schedule import Schedule
from penstock.kube.metadata import PartialObject
from penstock.kube.resources import FLOWRUNS
from penstock.kube.writer import Writer
from penstock_operator.metrics import Metrics
from penstock_operator.runtime.controller import RecordEvent
from penstock_operator.schedules.history import surplus_of_events, surplus_of_ticks
from penstock_operator.schedules.identity import backfill_of, run_name, schedule_of, scheduled_tick_of
from penstock_operator.schedules.plan import Plan
from penstock_operator.schedules.run import build_tick_run
from penstock_operator.schedules.runs import ScheduledRun, ScheduleRuns, ScheduleUid

EndRun = Callable[[RunKey, str, Shutdown], None]

CREATE_S: Final = 30.0
"""How long a create or a delete is retried before the Schedule is not Ready; it is tried again later."""


class Refusal(NamedTuple):
    """Why a run could not be created: reason and message of the condition `Ready`."""

    reason: str
    message: str


NAME_TAKEN: Final = Refusal("NameTaken", "")
"""A run of another owner has the name. It is left alone, and the tick gets no run."""


class RunWriter:
    """Creates and deletes the runs of Schedules.

    Args:
        client: for reads.
        writer: for writes.
        runs: the runs that are known; is notified of each that is created.
        end_run: ends a run of a name and uid early.
        metrics: where lateness is counted.
        record_event: of `KeyedController`.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        *,
        runs: ScheduleRuns,
        end_run: EndRun,
        metrics: Metrics,
        record_event: RecordEvent[Schedule],
        clock: Callable[[], float],
    ) -> None:
        self.creating: Final = IdleSignal(moment_s=0.0)
        """Busy while a run is being created."""
        self._client = client
        self._writer = writer
        self._runs = runs
        self._end_run = end_run
        self._metrics = metrics
        self._record_event = record_event
        self._clock = clock
        self._deleted: dict[ObjectKey, set[str]] = {}
        """Runs that were deleted here, by name, until the status does not call them active any more."""
        self._cancelled: dict[ObjectKey, set[str]] = {}
        """Uids of active runs that were cancelled here."""

    def forget_schedule(self, key: ObjectKey) -> None:
        """Drop what is kept of a deleted Schedule."""
        self._deleted.pop(key, None)
        self._cancelled.pop(key, None)

    def has_deleted(self, key: ObjectKey, run: str) -> bool:
        """Whether a run of a Schedule was deleted here."""
        return run in self._deleted.get(key, ())

    def forget_deleted(self, key: ObjectKey, *, keep: set[str]) -> None:
        """Forget the deleted runs of a Schedule but those that still exist."""
        if key in self._deleted:
            self._deleted[key] &= keep

    async def create_run(self, key: ObjectKey, schedule: Schedule, plan: Plan, tick: datetime) -> Refusal | None:
        """Create the run of a tick; returns why it could not be created, or None.

        Raises:
            ApiError: the namespace is being deleted.
            ApiUnreachableError: no answer.
        """
        name = run_name(key.name, tick)
        try:
            run = build_tick_run(schedule.metadata, plan.spec, plan.timetable, tick)
        except ExpressionError as error:
            return self._refused(schedule, "Invalid", f"run {name}: spec.runTemplate.spec.params: {error}")
        try:
            deadline = time.monotonic() + CREATE_S
            with self.creating.busy():
                reply = await self._writer.create(
                    FLOWRUNS, key.namespace, msgspec.json.encode(run), accept=METADATA, deadline=deadline
                )
        except ApiError as error:
            if is_already_exists(error):
                return None if await self._is_ours(key, plan, name, tick) else NAME_TAKEN
            if is_namespace_terminating(error):
                raise
            return self._refused(schedule, "CreateRefused", f"cannot create run {name}: {error.message or error}")
        uid = msgspec.json.decode(reply.body, type=PartialObject).metadata.uid
        self._runs.on_created(key, plan.uid, ScheduledRun(name, uid, tick, is_owned=plan.spec.owns_runs))
        self._metrics.schedule_lateness.observe(max(0.0, self._clock() - plan.jitter.due(tick).timestamp()))
        self._record_event(schedule, is_warning=False, reason="SuccessfulCreate", note=f"Created run {name}")
        return None

    def _refused(self, schedule: Schedule, reason: str, message: str) -> Refusal:
        self._record_event(schedule, is_warning=True, reason="FailedCreate", note=message)
        return Refusal(reason, message)

    async def _is_ours(self, key: ObjectKey, plan: Plan, name: str, tick: datetime) -> bool:
        """Whether an existing run was created for the tick, perhaps by an operator that could not store it."""
        found = await self.read_run(key.namespace, name)
        if found is None:
            return True
        if backfill_of(found.metadata):
            made = scheduled_tick_of(found.metadata)
            return made is not None and made.schedule.name == key.name
        owner = schedule_of(found.metadata)
        if owner is None or owner.uid != plan.uid:
            return False
        is_owned = found.metadata.find_controller("Schedule") is not None
        self._runs.on_created(key, plan.uid, ScheduledRun(name, found.metadata.uid, tick, is_owned=is_owned))
        return True

    async def read_run(self, namespace: str, name: str) -> RunSummary | None:
        """Read a run; None if there is none of this name."""
        return await self._client.get(FLOWRUNS, namespace, name, kind=RunSummary)

    def replace_runs(self, key: ObjectKey, schedule: Schedule, active: Iterable[ScheduledRun]) -> None:
        """Cancel the runs that a later tick replaces. They have ended when the watch says so."""
        runs = {run.uid: run for run in active}
        cancelled = self._cancelled.get(key, set()) & runs.keys()
        for uid in runs.keys() - cancelled:
            name = runs[uid].name
            message = f"replaced by the run of a later tick of Schedule {key.name}"
            self._end_run(RunKey(key.namespace, name), uid, Shutdown(ShutdownMode.CANCEL, Reason.RUN_REPLACED, message))
            self._record_event(schedule, is_warning=False, reason="Replaced", note=f"Cancelled run {name}: {message}")
        self._cancelled[key] = set(runs)

    async def delete_surplus(self, key: ObjectKey, schedule: Schedule, plan: Plan, stored: Ledger) -> None:
        """Delete the finished runs that history does not keep; a refused deletion is retried at the next reconcile."""
        finished = self._runs.finished(ScheduleUid(key.namespace, plan.uid))
        of_ticks = surplus_of_ticks(finished, plan.spec.history, stored)
        for run in [*of_ticks, *surplus_of_events(finished, plan.spec.history, self._clock())]:
            if not self.has_deleted(key, run.name):
                await self._delete(key, schedule, run)

    async def _delete(self, key: ObjectKey, schedule: Schedule, run: ScheduledRun) -> None:
        deleted = self._deleted.setdefault(key, set())
        deleted.add(run.name)
        why = "beyond spec.history"
        try:
            deadline = time.monotonic() + CREATE_S
            await self._writer.delete(FLOWRUNS, key.namespace, run.name, run.uid, deadline=deadline)
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                deleted.discard(run.name)
                message = f"cannot delete run {run.name} ({why}): {error.message or error}"
                self._record_event(schedule, is_warning=True, reason="FailedDelete", note=message)
            return
        self._record_event(schedule, is_warning=False, reason="SuccessfulDelete", note=f"Deleted run {run.name}: {why}")
