"""Whether a Schedule owns its runs, as `spec.onDelete` says: what it owns, Kubernetes deletes with it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.engine.keys import ObjectKey
from penstock.engine.workloads.owner_reference import owner_reference
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.errors import ApiError, is_conflict, is_not_found, is_precondition_failed
from penstock.kube.kinds.schedule import Schedule
from penstock.kube.resources import FLOWRUNS
from penstock.kube.writer import Priority, Writer
from penstock_operator.metrics import Metrics
from penstock_operator.runtime.controller import RecordEvent
from penstock_operator.runtime.workers import run_workers
from penstock_operator.runtime.workqueue import WorkQueue
from penstock_operator.schedules.plan import Plan
from penstock_operator.schedules.runs import ScheduledRun, ScheduleRuns, ScheduleUid

logger = logging.getLogger(__name__)

TURNS: Final = 5
"""How often a run whose owners change meanwhile is read and written."""
CHANGE_S: Final = 30.0
"""How long one change is retried at once; it is tried again when the Schedule is stored next."""
RETRY_S: Final = 10.0
WORKERS: Final = 2


class Planned(NamedTuple):
    """A Schedule as it is now, and its spec."""

    schedule: Schedule
    plan: Plan


class _Change(NamedTuple):
    """A run whose owner is to be changed."""

    namespace: str
    schedule: str
    uid: str
    """Of the run."""


class OwnerChanges:
    """Has the runs that exist owned by their Schedule, or not, as `spec.onDelete` says now.

    When the operator is upgraded, that may be all runs of all Schedules. They are changed behind everything else, each
    namespace's in turn.

    Args:
        client: for reads.
        writer: for writes.
        runs: the runs of Schedules.
        planned: returns a Schedule and its plan, if it exists and its latest spec is known and valid.
        record_event: of `KeyedController`.
        metrics: where errors are counted.
        fail: called with an error after which this process must not continue.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        *,
        runs: ScheduleRuns,
        planned: Callable[[ObjectKey], Planned | None],
        record_event: RecordEvent[Schedule],
        metrics: Metrics,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._client = client
        self._writer = writer
        self._runs = runs
        self._planned = planned
        self._record_event = record_event
        self._metrics = metrics
        self._fail = fail
        self._queue: WorkQueue[_Change] = WorkQueue()

    def add(self, key: ObjectKey, plan: Plan) -> None:
        """Have the runs of a Schedule changed whose owner is not as its spec wants it."""
        for run in self._runs_to_change(key, plan):
            self._queue.add(_Change(key.namespace, key.name, run.uid))

    def _runs_to_change(self, key: ObjectKey, plan: Plan) -> list[ScheduledRun]:
        runs = self._runs.of_any_kind(ScheduleUid(key.namespace, plan.uid))
        return [run for run in runs if not run.is_deleting and not has_wanted_owner(run, plan)]

    async def work(self) -> None:
        """Change what was added, forever."""
        await run_workers(
            self._queue,
            self._change,
            kind="FlowRun",
            workers=WORKERS,
            retry_s=RETRY_S,
            fail=self._fail,
            on_error=self._report,
        )

    async def _change(self, change: _Change) -> None:
        key = ObjectKey(change.namespace, change.schedule)
        planned = self._planned(key)
        # Otherwise it is added again when its latest spec is known.
        if planned is None:
            return
        run = self._runs.find(ScheduleUid(key.namespace, planned.plan.uid), change.uid)
        if run is None or run.is_deleting or has_wanted_owner(run, planned.plan):
            return
        try:
            await change_owner(self._client, self._writer, key, planned.plan, run)
        except ApiError as error:
            # Without the name of the run: all of a Schedule may be refused, and that is one Event.
            note = f"cannot change the owner of runs (spec.onDelete): {error.message or error}"
            self._record_event(planned.schedule, is_warning=True, reason="FailedUpdate", note=note)

    async def _report(self, change: _Change, error: Exception) -> None:
        """Report an unexpected error about one run, which is tried again with its Schedule."""
        self._metrics.internal_errors.labels("FlowRun").inc()
        logger.error("Internal error about the owner of a run of Schedule %s", change[:2], exc_info=error)


def has_wanted_owner(run: ScheduledRun, plan: Plan) -> bool:
    """Whether a run is, or is not, owned by its Schedule as the Schedule's spec wants it."""
    return run.is_owned == plan.spec.owns_runs and run.has_uid


async def change_owner(client: ApiClient, writer: Writer, key: ObjectKey, plan: Plan, run: ScheduledRun) -> None:
    """Give a run the owner reference to its Schedule, or take it away; other owners stay.

    Args:
        client: for the read.
        writer: for the write.
        key: the Schedule.
        plan: its spec.
        run: one of its runs.

    Raises:
        ApiError: the API server refused it.
        ApiUnreachableError: no answer.
    """
    for turn in range(1, TURNS + 1):
        found = await client.get(FLOWRUNS, key.namespace, run.name, kind=dict[str, Any], accept=METADATA)
        if found is None or found["metadata"]["uid"] != run.uid:
            return
        body = msgspec.json.encode(_owner_patch(found["metadata"], key, plan, run.backfill))
        try:
            deadline = time.monotonic() + CHANGE_S
            await writer.patch(FLOWRUNS, key.namespace, run.name, body, deadline=deadline, priority=Priority.OWNER)
        except ApiError as error:
            if is_not_found(error):
                return
            # Its owners have changed meanwhile, or it was created again.
            if turn == TURNS or not (is_precondition_failed(error) or is_conflict(error)):
                raise
        else:
            return


def _owner_patch(run: dict[str, Any], key: ObjectKey, plan: Plan, backfill: str) -> list[dict[str, Any]]:
    """Build the JSON Patch of a run. It does not test the resourceVersion: the status of a busy run changes always.

    A run of a Backfill has finished: it does not need that as an owner any more.
    """
    before = run.get("ownerReferences")
    owners = [each for each in before or () if each["uid"] not in (plan.uid, backfill)]
    if plan.spec.owns_runs:
        owners.append(owner_reference("Schedule", key.name, plan.uid, is_controller=not backfill))
    noted = {names.ANNOTATION_SCHEDULE_UID: plan.uid}
    if backfill:
        noted[names.ANNOTATION_BACKFILL_UID] = backfill
    patch: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/uid", "value": run["uid"]},
        {"op": "test", "path": "/metadata/ownerReferences", "value": before},
        {"op": "add", "path": "/metadata/ownerReferences", "value": owners},
    ]
    if run.get("annotations"):
        for name, value in noted.items():
            escaped = name.replace("/", "~1")
            patch.append({"op": "add", "path": f"/metadata/annotations/{escaped}", "value": value})
    else:
        patch.append({"op": "test", "path": "/metadata/annotations", "value": None})
        patch.append({"op": "add", "path": "/metadata/annotations", "value": noted})
    return patch
