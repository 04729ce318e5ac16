"""Backfills: a run for each tick of a Schedule in a past period, a few at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from penstock.api import names
from penstock.api.backfill import BackfillSpec
from penstock.engine.keys import ObjectKey
from penstock.engine.ticks.backfill import Creation, Outcome, TickRun
from penstock.engine.ticks.backfill_ticks import read_clocks
from penstock.engine.ticks.timetable import read_timetable
from penstock.engine.timestamp import rfc3339
from penstock.engine.validation.validation import parse_schedule
from penstock.engine.workloads.owner_reference import owner_reference
from penstock.errors import ExpressionError, InvalidSpecError, Problem, StoredStatusError
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.conditions import condition
from penstock.kube.errors import (
    ApiError,
    is_already_exists,
    is_namespace_terminating,
    is_not_found,
    is_precondition_failed,
)
from penstock.kube.kinds.backfill import Backfill
from penstock.kube.kinds.run_summary import RunSummary
from penstock.kube.kinds.schedule import Schedule
from penstock.kube.metadata import ObjectMeta
from penstock.kube.reflector import EventType
from penstock.kube.resources import FLOWRUNS
from penstock_operator.backfills.live_backfill import LiveBackfill, NotNowError, begin_backfill, parse_valid_backfill
from penstock_operator.backfills.run import RunTemplate, build_backfill_run, read_tick_run, tick_run
from penstock_operator.runs.live_run import RunEnd
from penstock_operator.runtime.controller import INTERNAL_ERROR, RETRY_S, KeyedController
from penstock_operator.schedules.identity import scheduled_tick_of

logger = logging.getLogger(__name__)

_SUCCEEDED: Final = {"Completed": "True", "Failed": "False"}
"""The condition `Succeeded`, by the state; Unknown in others."""


class BackfillController(KeyedController[Backfill]):
    """Reconciles Backfills when they change, when their Schedule does, and when a run of one has ended.

    Args:
        client: for reads.
        options: those of `KeyedController`.
    """

    def __init__(self, client: ApiClient, **options: Any) -> None:
        super().__init__(**options)
        self._client = client
        self._schedules: dict[ObjectKey, Schedule] = {}
        self._live: dict[ObjectKey, LiveBackfill] = {}

    def forget_object(self, key: ObjectKey) -> None:
        """Drop what is kept of a deleted Backfill. The garbage collector deletes its unfinished runs."""
        self._live.pop(key, None)

    def on_schedule(self, event: EventType, schedule: Schedule) -> None:
        """Handle a change of a Schedule: a Backfill may wait for it."""
        changed = schedule.metadata.key
        before = self._schedules.pop(changed, None)
        if event is not EventType.DELETED:
            self._schedules[changed] = schedule
            if before is not None and before.metadata.generation == schedule.metadata.generation:
                return
        for key, backfill in self.objects.items():
            if key.namespace == changed.namespace and backfill.schedule == changed.name:
                self.retry_now(key)

    def on_run_end(self, end: RunEnd) -> None:
        """Handle the end of a run, or its deletion."""
        for key, live in self._live.items():
            if key.namespace == end.key.namespace and (not live.is_loaded or end.key.name in live.runs):
                live.changes.append(end)
                self.queue.add(key)

    async def reconcile(self, key: ObjectKey, item: Backfill) -> None:
        """Handle what has changed, create the runs that are due, and store the progress."""
        # A restored one gets its final status after its creation.
        is_restored = names.LABEL_RESTORED in item.metadata.labels
        if item.metadata.deletion_timestamp is not None or item.status.is_finished or is_restored:
            self._live.pop(key, None)
            return
        live = self._live.get(key)
        if live is not None and live.uid != item.metadata.uid:
            live = None
        reason, message = "Running", ""
        try:
            spec = parse_valid_backfill(item)
            if live is None:
                live = self._live[key] = await begin_backfill(item, spec, self._schedule(key, spec))
            if not live.is_loaded:
                await self._load_runs(key, live)
            await self._handle_changes(key, live)
            if not live.machine.is_finished:
                await self._create_runs(key, live, item, spec)
            if spec.suspend and not live.machine.is_finished:
                reason, message = "Suspended", "suspended: no further runs are created while spec.suspend is true"
        except (InvalidSpecError, StoredStatusError) as error:
            self._live.pop(key, None)
            await self._store_invalid(key, item, str(error))
            return
        except NotNowError as error:
            reason, message = error.reason, str(error)
            if reason == "FailedCreate":
                self.queue.add_at(key, time.monotonic() + RETRY_S)
        await self._store_progress(key, item, live, reason=reason, message=message)

    def _schedule(self, key: ObjectKey, spec: BackfillSpec) -> Schedule:
        name = spec.schedule.name
        found = self._schedules.get(ObjectKey(key.namespace, name))
        if found is None or found.metadata.deletion_timestamp is not None:
            raise NotNowError("ScheduleNotFound", f"waiting: Schedule {name} not found")
        return found

    # The runs

    async def _load_runs(self, key: ObjectKey, live: LiveBackfill) -> None:
        """Find the runs of the Schedule that exist."""
        numbers = {int(tick.timestamp()): number for number, tick in enumerate(live.ticks)}
        runs: dict[str, TickRun] = {}
        # The list is consistent: it has every run that was ever created here.
        listed = self._client.list(
            FLOWRUNS,
            kind=RunSummary,
            namespace=key.namespace,
            label_selector=f"{names.LABEL_SCHEDULE}={live.schedule}",
        )
        async for run in listed:
            tick_run = read_tick_run(run, live.schedule, numbers)
            if tick_run is not None:
                runs[run.metadata.name] = tick_run
                if tick_run.is_finished and tick_run.backfill == live.uid:
                    await self._let_outlive(key, live, run.metadata)
        live.runs = runs
        live.machine.load_runs(runs.values())
        live.is_loaded = True

    async def _handle_changes(self, key: ObjectKey, live: LiveBackfill) -> None:
        while live.changes:
            change = live.changes.pop(0)
            if not isinstance(change, RunEnd):
                live.observe_run(*change)
                continue
            name = change.key.name
            known = live.runs.get(name)
            if known is None or known.is_finished:
                continue
            if change.state is None:
                live.forget_run(name)
                continue
            if known.backfill == live.uid:
                await self._let_outlive(key, live, ObjectMeta(name=name, uid=change.uid))
            live.observe_run(name, known._replace(state=change.state, has_started=change.has_started))

    async def _let_outlive(self, key: ObjectKey, live: LiveBackfill, run: ObjectMeta) -> None:
        """Have a finished run outlive the Backfill: it gets the Schedule as an owner too, or no owner.

        What `onDelete` of a Schedule that is gone was is unknown: then the run is kept, which is the default.
        """
        schedule = self._schedules.get(ObjectKey(key.namespace, live.schedule))
        if len(run.owner_references) > 1 or names.ANNOTATION_BACKFILL_UID in run.annotations:
            return
        owners: list[dict[str, Any]] = []
        if schedule is not None and schedule.spec.get("onDelete") == "Delete":
            owners.append(owner_reference("Backfill", key.name, live.uid))
            owners.append(owner_reference("Schedule", live.schedule, schedule.metadata.uid, is_controller=False))
        noted = names.ANNOTATION_BACKFILL_UID.replace("/", "~1")
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": run.uid},
            {"op": "test", "path": "/metadata/ownerReferences/0/uid", "value": live.uid},
            {"op": "add", "path": f"/metadata/annotations/{noted}", "value": live.uid},
            {"op": "add", "path": "/metadata/ownerReferences", "value": owners},
        ]
        try:
            await self.writer.patch(FLOWRUNS, key.namespace, run.name, msgspec.json.encode(patch))
        except ApiError as error:
            # The run was deleted, or another writer changed its owners.
            if not (is_not_found(error) or is_precondition_failed(error)):
                raise

    async def _create_runs(self, key: ObjectKey, live: LiveBackfill, backfill: Backfill, spec: BackfillSpec) -> None:
        while creations := live.machine.advance(max_active=spec.max_active, is_suspended=bool(spec.suspend)):
            schedule = self._schedule(key, spec)
            try:
                due = read_clocks(live.clocks, parse_schedule({"spec": schedule.spec}))
            except InvalidSpecError as error:
                message = f"waiting: Schedule {live.schedule} is invalid: {error}"
                raise NotNowError("ScheduleInvalid", message) from error
            template = RunTemplate(schedule.metadata, due, read_timetable(due))
            creating = [self._create_run(key, live, backfill, template, creation) for creation in creations]
            for result in await asyncio.gather(*creating, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result
            # Ticks whose runs another writer had created meanwhile leave room for further runs.

    async def _create_run(
        self, key: ObjectKey, live: LiveBackfill, backfill: Backfill, template: RunTemplate, creation: Creation
    ) -> None:
        try:
            run = build_backfill_run(backfill.metadata, template, live.ticks[creation.tick], creation.number)
        except ExpressionError as error:
            problem = Problem("spec.runTemplate.spec.params", str(error))
            message = f"cannot create a run of Schedule {live.schedule}: {problem}"
            self.record_event(backfill, is_warning=True, reason="FailedCreate", note=message)
            raise NotNowError("FailedCreate", message) from error
        name = run["metadata"]["name"]
        created = TickRun(creation.tick, creation.number, None, live.uid)
        try:
            await self.writer.create(FLOWRUNS, key.namespace, msgspec.json.encode(run), accept=METADATA)
        except ApiError as error:
            if is_already_exists(error):
                created = await self._read_existing(key, live, name, creation)
            elif is_namespace_terminating(error):
                raise NotNowError("NamespaceTerminating", "the namespace is being deleted") from error
            elif HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                message = f"cannot create run {name}: {error.message or error}"
                self.record_event(backfill, is_warning=True, reason="FailedCreate", note=message)
                raise NotNowError("FailedCreate", message) from error
            else:
                raise
        self._notify_of_run(key, live, name, created)

    async def _read_existing(self, key: ObjectKey, live: LiveBackfill, name: str, creation: Creation) -> TickRun:
        """Read the run that already has a name: from before a restart, or of the Schedule or another Backfill."""
        run = await self._client.get(FLOWRUNS, key.namespace, name, kind=RunSummary)
        if run is None:
            raise NotNowError("FailedCreate", f"cannot create run {name}: it existed, and was just deleted")
        found = scheduled_tick_of(run.metadata)
        if found is None or found.schedule.name != live.schedule:
            message = f"neither Schedule {live.schedule} nor a Backfill of it created run {name}, which has that name"
            raise NotNowError("FailedCreate", f"cannot create run {name}: {message}; delete it if it is not needed")
        return tick_run(run, creation.tick, creation.number)

    def _notify_of_run(self, key: ObjectKey, live: LiveBackfill, name: str, run: TickRun) -> None:
        """Notify every Backfill of the same Schedule of a run."""
        live.observe_run(name, run)
        for other_key, other in self._live.items():
            if other is live or other_key.namespace != key.namespace or other.schedule != live.schedule:
                continue
            number = other.ticks.find(live.ticks[run.tick])
            if number is not None:
                other.changes.append((name, run._replace(tick=number)))
                self.queue.add(other_key)

    # The status

    def drop_state(self, key: ObjectKey) -> None:
        """Drop what is known of the runs: they are listed again."""
        self._live.pop(key, None)

    async def store_internal_error(self, key: ObjectKey, item: Backfill, message: str) -> None:
        """Store that the Backfill could not be reconciled, if its status does not say so."""
        status = item.status
        if (status.reason, status.message) != (INTERNAL_ERROR, message):
            self.record_event(item, is_warning=True, reason=INTERNAL_ERROR, note=message)
            state = status.state or "Pending"
            await self._store_state(key, item, state, reason=INTERNAL_ERROR, message=message, fields={})

    async def _store_invalid(self, key: ObjectKey, backfill: Backfill, message: str) -> None:
        if backfill.status.observed_generation != backfill.metadata.generation:
            self.record_event(backfill, is_warning=True, reason="InvalidBackfill", note=message)
        await self._store_state(key, backfill, "Failed", reason="Invalid", message=message, fields={})

    async def _store_progress(
        self, key: ObjectKey, backfill: Backfill, live: LiveBackfill | None, *, reason: str, message: str
    ) -> None:
        if live is None:
            await self._store_state(key, backfill, "Pending", reason=reason, message=message, fields={})
            return
        machine = live.machine
        counts = machine.counts()
        fields: dict[str, Any] = {
            "timing": live.clocks,
            "ticks": len(live.ticks),
            "progress": machine.progress,
            "counts": counts,
            **machine.record.to_status(),
        }
        state = "Running" if machine.record.started or machine.record.outcomes else "Pending"
        if machine.record.started:
            live.started_at = fields["startTime"] = live.started_at or rfc3339(int(self.clock()))
        if machine.is_finished:
            state = reason = "Completed" if machine.is_successful else "Failed"
            message = _summary(counts, len(live.ticks))
            live.completed_at = fields["completionTime"] = live.completed_at or rfc3339(int(self.clock()))
            self.record_event(backfill, is_warning=not machine.is_successful, reason=reason, note=message)
        await self._store_state(key, backfill, state, reason=reason, message=message, fields=fields)

    async def _store_state(
        self, key: ObjectKey, backfill: Backfill, state: str, *, reason: str, message: str, fields: Mapping[str, Any]
    ) -> None:
        stored, generation = backfill.status.conditions, backfill.metadata.generation
        verdict = _SUCCEEDED.get(state, "Unknown")
        common: dict[str, Any] = {
            "reason": reason,
            "message": message,
            "generation": generation,
            "now": self.clock(),
        }
        conditions = [
            condition(stored, "Succeeded", verdict, **common),
            condition(stored, "Finished", str(state in _SUCCEEDED), **common),
        ]
        status = {"state": state, "reason": reason, "message": message, "observedGeneration": generation}
        await self.store_status(key, backfill, {**status, "conditions": conditions, **fields})


def _summary(counts: Mapping[str, int], ticks: int) -> str:
    if not ticks:
        return "the Schedule has no ticks in this period: nothing to run"
    outcomes = ", ".join(f"{counts[outcome]} {_words(outcome)}" for outcome in Outcome if counts.get(outcome))
    return f"{ticks} ticks: {outcomes}"


def _words(outcome: Outcome) -> str:
    return "not run" if outcome is Outcome.NOT_RUN else outcome.lower()
