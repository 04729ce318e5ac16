"""Backfills: a run for each tick of a Schedule's past, a few at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.api.backfill import BackfillSpec
from penstock.api.schedule import ScheduleSpec
from penstock.engine.keys import ObjectKey
from penstock.engine.names import repeated_run_name
from penstock.engine.ticks.backfill import BackfillMachine, Creation, Outcome, Record, TickRun
from penstock.engine.ticks.past import past_ticks, read_clocks, write_clocks
from penstock.engine.ticks.timetable import Timetable, read_timetable
from penstock.engine.timestamp import epoch, rfc3339
from penstock.engine.validation.validation import check_backfill, parse_backfill, parse_schedule
from penstock.errors import ExpressionError, InvalidSpecError, PenstockError, Problem, StoredStatusError
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.conditions import condition
from penstock.kube.errors import (
    ApiError,
    is_already_exists,
    is_namespace_terminating,
    is_not_found,
    is_precondition_failed,
)
from penstock.kube.metadata import ObjectMeta, OwnerReference
from penstock.kube.reflector import EventType
from penstock.kube.resources import FLOWRUNS
from penstock_operator.runs.live_run import RunEnd
from penstock_operator.runtime.controller import RETRY_S, KeyedController
from penstock_operator.schedules.tick_run import build_run

logger = logging.getLogger(__name__)

PAGE_RUNS: Final = 500


class _RunStatus(msgspec.Struct, frozen=True):
    state: str | None = None


class _Run(msgspec.Struct):
    metadata: ObjectMeta
    status: _RunStatus = _RunStatus()


class _ListMeta(msgspec.Struct):
    continue_token: str = msgspec.field(default="", name="continue")


class _RunPage(msgspec.Struct):
    metadata: _ListMeta
    items: list[_Run] | None = None


class _Template(NamedTuple):
    """What runs are made of."""

    schedule: Mapping[str, Any]
    """The Schedule as it is now."""
    spec: ScheduleSpec
    """Its spec as it is now, but due as it was when the Backfill began."""
    timetable: Timetable
    """When that is."""


class NotNowError(PenstockError):
    """A Backfill has to wait.

    Args:
        reason: CamelCase word for programs.
        message: text for people.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(slots=True)
class _Live:
    """A Backfill that is not over.

    Attributes:
        uid: its uid.
        schedule: name of its Schedule.
        clocks: when the Schedule was due as this Backfill began, as it is stored.
        ticks: the ticks, oldest first.
        machine: decides.
        runs: which tick each known run is for, by its name.
        news: what was heard and not yet told to the machine.
        is_loaded: whether the machine knows the runs that exist.
        started_at: when the first run was created, as it is stored.
        completed_at: when the last tick was done with, likewise.
    """

    uid: str
    schedule: str
    clocks: str
    ticks: Sequence[datetime]
    machine: BackfillMachine
    runs: dict[str, TickRun] = field(default_factory=dict)
    news: list[RunEnd | tuple[str, TickRun]] = field(default_factory=list)
    is_loaded: bool = False
    started_at: str | None = None
    completed_at: str | None = None


class BackfillController(KeyedController):
    """Looks at Backfills when they change, when their Schedule does, and when a run of one is over.

    Args:
        client: for reads.
        options: those of `KeyedController`.
    """

    def __init__(self, client: ApiClient, **options: Any) -> None:
        super().__init__(**options)
        self._client = client
        self._schedules: dict[ObjectKey, Mapping[str, Any]] = {}
        self._live: dict[ObjectKey, _Live] = {}

    # What is heard

    def forget(self, key: ObjectKey) -> None:
        """Learn that a Backfill is gone. The garbage collector deletes its runs that are not over."""
        self._live.pop(key, None)

    def on_schedule(self, event: EventType, body: Mapping[str, Any]) -> None:
        """Take over a change of a Schedule: a Backfill may wait for it."""
        metadata = body["metadata"]
        schedule = ObjectKey(metadata["namespace"], metadata["name"])
        before = self._schedules.pop(schedule, None)
        if event is not EventType.DELETED:
            self._schedules[schedule] = body
            if before is not None and before["metadata"]["generation"] == metadata["generation"]:
                return
        for key, backfill in self.objects.items():
            if key.namespace == schedule.namespace and _schedule_of(backfill) == schedule.name:
                self.queue.add(key)

    def on_run_end(self, end: RunEnd) -> None:
        """Take over that a run is over, or gone."""
        for key, live in self._live.items():
            if key.namespace == end.key.namespace and (not live.is_loaded or end.key.name in live.runs):
                live.news.append(end)
                self.queue.add(key)

    # One look

    async def look_at(self, key: ObjectKey, body: Mapping[str, Any]) -> None:
        """Take a Backfill one step on."""
        metadata, stored = body["metadata"], body.get("status") or {}
        if "deletionTimestamp" in metadata or _is_finished(stored):
            self._live.pop(key, None)
            return
        live = self._live.get(key)
        if live is not None and live.uid != metadata["uid"]:
            live = None
        reason, message = "Running", ""
        try:
            spec = _valid_spec(body)
            if live is None:
                live = self._live[key] = await self._begin(body, spec, self._schedule(key, spec))
            if not live.is_loaded:
                await self._load(key, live)
            await self._take_news(key, live)
            if not live.machine.is_finished:
                await self._create(key, live, body, spec)
            if spec.suspend and not live.machine.is_finished:
                reason, message = "Suspended", "starts no further runs while spec.suspend is true"
        except (InvalidSpecError, StoredStatusError) as error:
            self._live.pop(key, None)
            await self._refuse(key, body, str(error))
            return
        except NotNowError as error:
            reason, message = error.reason, str(error)
            if reason == "FailedCreate":
                self.queue.add_at(key, time.monotonic() + RETRY_S)
        await self._store(key, body, live, reason=reason, message=message)

    def _schedule(self, key: ObjectKey, spec: BackfillSpec) -> Mapping[str, Any]:
        name = spec.schedule.name
        found = self._schedules.get(ObjectKey(key.namespace, name))
        if found is None or "deletionTimestamp" in found["metadata"]:
            raise NotNowError("ScheduleNotFound", f"waits for the Schedule {name}: there is none of this name")
        return found

    async def _begin(self, body: Mapping[str, Any], spec: BackfillSpec, schedule: Mapping[str, Any]) -> _Live:
        """Find the ticks, and pick up the record."""
        stored = body.get("status") or {}
        try:
            schedule_spec = parse_schedule(schedule)
            clocks = stored.get("timing") or write_clocks(schedule_spec)
            frozen = read_clocks(clocks, schedule_spec)
            created_at = datetime.fromtimestamp(epoch(body["metadata"]["creationTimestamp"]), tz=UTC)
            # In a thread: to find 10,000 ticks takes a second, and the engine shares the loop.
            ticks = await asyncio.to_thread(past_ticks, spec, frozen, created_at)
        except InvalidSpecError as error:
            if any(problem.path in ("spec.from", "spec.to") for problem in error.problems):
                raise
            raise NotNowError("ScheduleInvalid", f"waits for the Schedule {spec.schedule.name}: {error}") from error
        machine = BackfillMachine(
            body["metadata"]["uid"], len(ticks), Record.from_status(stored), order=spec.order, reprocess=spec.reprocess
        )
        started_at, completed_at = stored.get("startTime"), stored.get("completionTime")
        return _Live(
            body["metadata"]["uid"],
            spec.schedule.name,
            clocks,
            ticks,
            machine,
            started_at=started_at,
            completed_at=completed_at,
        )

    # The runs

    async def _load(self, key: ObjectKey, live: _Live) -> None:
        """Learn which runs of the Schedule exist."""
        numbers = {int(tick.timestamp()): number for number, tick in enumerate(live.ticks)}
        runs: dict[str, TickRun] = {}
        token = ""
        while True:
            # Without a resourceVersion the list is consistent: it has every run that we ever created.
            query = {"labelSelector": f"{names.LABEL_SCHEDULE}={live.schedule}", "limit": str(PAGE_RUNS)}
            if token:
                query["continue"] = token
            reply = await self._client.request("GET", FLOWRUNS.path(key.namespace), query=query)
            page = msgspec.json.decode(reply.body, type=_RunPage)
            for run in page.items or ():
                tick_run = _read_run(run, numbers)
                if tick_run is not None:
                    runs[run.metadata.name] = tick_run
                    if tick_run.is_finished and tick_run.backfill == live.uid:
                        await self._hand_over(key, live, run.metadata)
            token = page.metadata.continue_token
            if not token:
                break
        live.runs = runs
        live.machine.load_runs(runs.values())
        live.is_loaded = True

    async def _take_news(self, key: ObjectKey, live: _Live) -> None:
        while live.news:
            news = live.news.pop(0)
            if not isinstance(news, RunEnd):
                name, run = news
                live.runs[name] = run
                live.machine.observe(run)
                continue
            known = live.runs.get(news.key.name)
            if known is None or known.is_finished:
                continue
            if news.state is None:
                del live.runs[news.key.name]
                live.machine.remove_run(known.tick, known.number)
                continue
            if known.backfill == live.uid:
                await self._hand_over(key, live, ObjectMeta(name=news.key.name, uid=news.uid))
            live.runs[news.key.name] = known._replace(state=news.state)
            live.machine.observe(live.runs[news.key.name])

    async def _hand_over(self, key: ObjectKey, live: _Live, run: ObjectMeta) -> None:
        """Let a finished run belong to the Schedule too, so that it outlives the Backfill."""
        schedule = self._schedules.get(ObjectKey(key.namespace, live.schedule))
        if schedule is None or len(run.owner_references) > 1:
            return
        owners = [_owner("Backfill", key.name, live.uid, is_controller=True)]
        owners.append(_owner("Schedule", live.schedule, schedule["metadata"]["uid"], is_controller=False))
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": run.uid},
            {"op": "test", "path": "/metadata/ownerReferences/0/uid", "value": live.uid},
            {"op": "add", "path": "/metadata/ownerReferences", "value": owners},
        ]
        try:
            await self.writer.patch(FLOWRUNS, key.namespace, run.name, msgspec.json.encode(patch))
        except ApiError as error:
            # It was deleted, or somebody gave it to other owners.
            if not (is_not_found(error) or is_precondition_failed(error)):
                raise

    async def _create(self, key: ObjectKey, live: _Live, body: Mapping[str, Any], spec: BackfillSpec) -> None:
        """Create the runs that are due."""
        while creations := live.machine.advance(max_active=spec.max_active, is_suspended=bool(spec.suspend)):
            schedule = self._schedule(key, spec)
            try:
                due = read_clocks(live.clocks, parse_schedule(schedule))
            except InvalidSpecError as error:
                raise NotNowError("ScheduleInvalid", f"waits for the Schedule {live.schedule}: {error}") from error
            template = _Template(schedule, due, read_timetable(due))
            tried = [self._create_one(key, live, body, template, creation) for creation in creations]
            for result in await asyncio.gather(*tried, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result
            # Runs that others had made in the meantime leave room for further ones.

    async def _create_one(
        self, key: ObjectKey, live: _Live, body: Mapping[str, Any], template: _Template, creation: Creation
    ) -> None:
        try:
            run = build_backfill_run(body, template, live.ticks[creation.tick], creation.number)
        except ExpressionError as error:
            problem = Problem("spec.runTemplate.spec.params", str(error))
            message = f"a run can't be made of Schedule {live.schedule}: {problem}"
            self.record(body, is_warning=True, reason="FailedCreate", note=message)
            raise NotNowError("FailedCreate", message) from error
        name = run["metadata"]["name"]
        made = TickRun(creation.tick, creation.number, None, live.uid)
        try:
            await self.writer.create(FLOWRUNS, key.namespace, msgspec.json.encode(run), accept=METADATA)
        except ApiError as error:
            if is_already_exists(error):
                made = await self._existing(key, name, creation)
            elif is_namespace_terminating(error):
                raise NotNowError("NamespaceTerminating", "its namespace is being deleted") from error
            elif HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                message = f"run {name} can't be created: {error.message or error}"
                self.record(body, is_warning=True, reason="FailedCreate", note=message)
                raise NotNowError("FailedCreate", message) from error
            else:
                raise
        self._tell(key, live, name, made)

    async def _existing(self, key: ObjectKey, name: str, creation: Creation) -> TickRun:
        """Look at a run that has the name which we wanted: ours from before a crash, or somebody else's."""
        try:
            reply = await self._client.request("GET", FLOWRUNS.path(key.namespace, name))
        except ApiError as error:
            if is_not_found(error):
                raise NotNowError("FailedCreate", f"run {name} was there a moment ago, and is gone") from error
            raise
        run = msgspec.json.decode(reply.body, type=_Run)
        return TickRun(creation.tick, creation.number, run.status.state, _maker(run.metadata))

    def _tell(self, key: ObjectKey, live: _Live, name: str, run: TickRun) -> None:
        """Let every Backfill of the same Schedule know of a run."""
        live.runs[name] = run
        live.machine.observe(run)
        for other_key, other in self._live.items():
            if other is live or other_key.namespace != key.namespace or other.schedule != live.schedule:
                continue
            tick = live.ticks[run.tick]
            if tick in other.ticks:
                other.news.append((name, run._replace(tick=other.ticks.index(tick))))
                self.queue.add(other_key)

    # The status

    async def _refuse(self, key: ObjectKey, body: Mapping[str, Any], message: str) -> None:
        generation = body["metadata"]["generation"]
        if (body.get("status") or {}).get("observedGeneration") != generation:
            self.record(body, is_warning=True, reason="InvalidBackfill", note=message)
        await self._store_state(key, body, "Failed", reason="Invalid", message=message, fields={})

    async def _store(
        self, key: ObjectKey, body: Mapping[str, Any], live: _Live | None, *, reason: str, message: str
    ) -> None:
        if live is None:
            await self._store_state(key, body, "Pending", reason=reason, message=message, fields={})
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
            message = _sum_up(counts, len(live.ticks))
            live.completed_at = fields["completionTime"] = live.completed_at or rfc3339(int(self.clock()))
            self.record(body, is_warning=not machine.is_successful, reason=reason, note=message)
        await self._store_state(key, body, state, reason=reason, message=message, fields=fields)

    async def _store_state(
        self, key: ObjectKey, body: Mapping[str, Any], state: str, *, reason: str, message: str, fields: dict[str, Any]
    ) -> None:
        is_over = state in ("Completed", "Failed")
        verdict = {"Completed": "True", "Failed": "False"}.get(state, "Unknown")
        stored, generation = body.get("status") or {}, body["metadata"]["generation"]
        said = {"reason": reason, "message": message, "generation": generation, "now": self.clock()}
        conditions = [
            condition(stored, "Succeeded", verdict, **said),
            condition(stored, "Finished", str(is_over), **said),
        ]
        status = {"state": state, "reason": reason, "message": message, "observedGeneration": generation}
        await self.store_status(key, body, {**status, "conditions": conditions, **fields})


def build_backfill_run(body: Mapping[str, Any], template: _Template, tick: datetime, number: int) -> dict[str, Any]:
    """Build a run of a tick.

    Args:
        body: the Backfill.
        template: what it is made of.
        tick: the tick.
        number: how often the tick had a run before.

    Raises:
        ExpressionError: a param's value can't be had.
    """
    metadata = body["metadata"]
    run = build_run(template.schedule, template.spec, template.timetable, tick)
    made = run["metadata"]
    if number:
        made["name"] = repeated_run_name(made["name"], template.schedule["metadata"]["uid"], number)
        made["annotations"][names.ANNOTATION_REPETITION] = str(number)
    made["labels"][names.LABEL_BACKFILL] = metadata["name"]
    made["ownerReferences"] = [_owner("Backfill", metadata["name"], metadata["uid"], is_controller=True)]
    return run


def _owner(kind: str, name: str, uid: str, *, is_controller: bool) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": is_controller,
        "blockOwnerDeletion": False,
    }


def _valid_spec(body: Mapping[str, Any]) -> BackfillSpec:
    spec = parse_backfill(body)
    problems = check_backfill(spec)
    if problems:
        raise InvalidSpecError(problems)
    return spec


def _schedule_of(body: Mapping[str, Any]) -> str | None:
    name: str | None = ((body.get("spec") or {}).get("schedule") or {}).get("name")
    return name


def _is_finished(stored: Mapping[str, Any]) -> bool:
    return any(one["type"] == "Finished" and one["status"] == "True" for one in stored.get("conditions") or ())


def _read_run(run: _Run, numbers: Mapping[int, int]) -> TickRun | None:
    """Tell which tick a run is for; None if it is for none of these."""
    annotations = run.metadata.annotations
    try:
        tick = numbers.get(int(epoch(annotations.get(names.ANNOTATION_TICK, ""))))
        number = int(annotations.get(names.ANNOTATION_REPETITION, "0"))
    except (StoredStatusError, ValueError):
        return None
    return None if tick is None else TickRun(tick, number, run.status.state, _maker(run.metadata))


def _maker(metadata: ObjectMeta) -> str:
    """Return the uid of the Backfill that made a run; empty if another made it."""
    owners: Sequence[OwnerReference] = metadata.owner_references
    return next((owner.uid for owner in owners if owner.kind == "Backfill"), "")


def _sum_up(counts: Mapping[str, int], ticks: int) -> str:
    if not ticks:
        return "the Schedule was not due in this time: there is nothing to make up"
    said = ", ".join(f"{counts[outcome]} {outcome.lower()}" for outcome in Outcome if counts.get(outcome))
    return f"{ticks} ticks: {said}"
