"""Schedules: a run for every tick, never two for one.

One look at a Schedule brings it to where it should be: what is due is decided by `penstock.engine.ticks.firing` and
carried out, what was decided is stored, and a timer is set for the next tick. The order makes it safe to stop at any
point: a run is created before its tick is stored as decided, and its name follows from the tick.

When many are due at the same second, all runs are created first and the statuses stored afterwards. Until then what was
decided is kept in memory, and counts as if it were stored.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.engine.keys import ObjectKey
from penstock.engine.ticks.firing import Firing, Ledger, decide
from penstock.errors import ExpressionError, InvalidSpecError
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.conditions import ready_condition
from penstock.kube.errors import ApiError, is_already_exists, is_conflict, is_namespace_terminating, is_not_found
from penstock.kube.idle import IdleSignal
from penstock.kube.resources import FLOWRUNS
from penstock_operator.metrics import Metrics
from penstock_operator.runtime.controller import KeyedController
from penstock_operator.runtime.workqueue import WorkQueue
from penstock_operator.schedules.history import surplus, surplus_of_events
from penstock_operator.schedules.notices import notices, waits
from penstock_operator.schedules.plan import Plan
from penstock_operator.schedules.runs import ScheduledRun, ScheduleRuns
from penstock_operator.schedules.status import Outcome, build_status, read_ledger
from penstock_operator.schedules.tick_run import build_run, run_name

logger = logging.getLogger(__name__)

PAD_S: Final = 0.01
"""After the tick, so that a clock that is read a moment early does not find it missing."""
LONGEST_SLEEP_S: Final = 600.0
"""A clock may be set: ticks are computed anew at least this often."""
CREATE_S: Final = 30.0
"""How long a create or a delete is tried before the Schedule is told to be in trouble, and tried again later."""
MESSAGE_CHARACTERS: Final = 8192
"""Of a condition; a Schedule may have many faults, each of which quotes it."""
NO_TIMING: Final = "none"
"""In place of a digest: whatever the timing will be, it is an edit, and acts from then on."""
FIRST_PAUSE_S: Final = 10.0
"""After a run was refused; it doubles each time."""
LONGEST_PAUSE_S: Final = 300.0
STATUS_WORKERS: Final = 16
LONGEST_UNSTORED_S: Final = 30.0
"""How long a status gives way to the creation of runs."""


class Decided(NamedTuple):
    """What a look has led to and is not stored yet."""

    uid: str
    status: Mapping[str, Any]
    plan: Plan | None
    """None if the Schedule can't work."""
    ledger: Ledger | None


class Refusal(NamedTuple):
    """Why a run could not be created: reason and message of the condition `Ready`."""

    reason: str
    message: str


TAKEN: Final = Refusal("NameTaken", "")
"""Its name is that of a run of somebody else, which is left alone; the tick gets no other."""


class ScheduleController(KeyedController):
    """Looks at Schedules when they change, when their ticks are due and when their runs change.

    Args:
        client: for reads.
        runs: the runs of Schedules.
        metrics: where lateness and missed ticks are counted.
        options: those of `KeyedController`.
    """

    workers = 64
    """Most of a look is waiting for the API server, and many Schedules are due at the same second."""
    ignores_own_writes = True

    def __init__(self, client: ApiClient, *, runs: ScheduleRuns, metrics: Metrics, **options: Any) -> None:
        super().__init__(**options)
        self._client = client
        self._runs = runs
        self._metrics = metrics
        self._plans: dict[ObjectKey, Plan] = {}
        self._refusals: dict[ObjectKey, int] = {}
        self._deleted: dict[ObjectKey, set[str]] = {}
        """Runs that were deleted here, by name, until the status does not call them active any more."""
        self._decided: dict[ObjectKey, Decided] = {}
        self._to_store: WorkQueue[ObjectKey] = WorkQueue()
        self._creating = IdleSignal(moment_s=0.0)
        runs.listen(self._on_run)

    def forget(self, key: ObjectKey) -> None:
        """Learn that a Schedule is gone; its runs go with it."""
        for known in (self._plans, self._refusals, self._deleted, self._decided):
            known.pop(key, None)
        self._to_store.forget(key)

    def _on_run(self, key: ObjectKey) -> None:
        if key in self.objects:
            self.queue.add(key)

    async def work(self) -> None:
        """Look at Schedules for ever, and store what the looks lead to."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(super().work())
            tasks.create_task(self.run_workers(self._to_store, self.store, workers=STATUS_WORKERS))

    def latest(self, key: ObjectKey) -> Mapping[str, Any] | None:
        """Return a Schedule with the status that was decided last, stored or not."""
        body, decided = super().latest(key), self._decided.get(key)
        if body is None or decided is None or decided.uid != body["metadata"]["uid"]:
            return body
        return {**body, "status": {**(body.get("status") or {}), **decided.status}}

    async def look_at(self, key: ObjectKey, body: Mapping[str, Any]) -> None:
        """Create the runs that are due, store what was decided, and see when to look again."""
        if body["metadata"].get("deletionTimestamp"):
            return
        try:
            plan = await self._plan(key, body)
        except InvalidSpecError as error:
            self._tell_invalid(key, body, error)
            return
        now = datetime.fromtimestamp(self.clock(), tz=UTC)
        before, since = read_ledger(body, plan, now)
        await self._tell_ends(key, body)
        try:
            outcome = await self._carry_out(key, body, plan, before, now)
        except ApiError as error:
            if not is_namespace_terminating(error):
                raise
            return
        self._tell_decision(body, plan, before, outcome.firing)
        status = build_status(
            body, plan, outcome, active=self._active(plan), finished=self._runs.finished(plan.uid), since=since, now=now
        )
        status["conditions"] = _with_others(body, self._ready(body, reason=outcome.reason, message=outcome.message))
        self._store_later(key, Decided(plan.uid, status, plan, outcome.firing.ledger))
        self._sleep(key, plan, outcome, now)

    def _store_later(self, key: ObjectKey, decided: Decided) -> None:
        before = self._decided.get(key)
        if before is not None and before.uid == decided.uid:
            # A look says what is new since the one before.
            decided = decided._replace(status={**before.status, **decided.status})
        self._decided[key] = decided
        self._to_store.add(key)

    async def store(self, key: ObjectKey) -> None:
        """Store what was decided of a Schedule, and delete the runs that history does not keep by then."""
        await self._creating.wait(LONGEST_UNSTORED_S)
        body, decided = super().latest(key), self._decided.get(key)
        if body is None or decided is None or decided.uid != body["metadata"]["uid"]:
            return
        # What others say of it may have changed meanwhile.
        conditions = _with_others(body, decided.status["conditions"][0])
        await self.store_status(key, body, {**decided.status, "conditions": conditions})
        if self._decided.get(key) is decided:
            del self._decided[key]
        if decided.plan is not None and decided.ledger is not None:
            await self._clean(key, body, decided.plan, decided.ledger)

    async def _plan(self, key: ObjectKey, body: Mapping[str, Any]) -> Plan:
        metadata = body["metadata"]
        known = self._plans.get(key)
        if known is None or (known.uid, known.generation) != (metadata["uid"], metadata["generation"]):
            # In a thread, because the inline spec of its runs may have thousands of tasks.
            known = self._plans[key] = await asyncio.to_thread(Plan.read, body)
        return known

    def _active(self, plan: Plan) -> list[ScheduledRun]:
        """Return the runs of its ticks that are not over."""
        return [run for run in self._runs.active(plan.uid) if run.tick is not None]

    # Carrying out

    async def _carry_out(
        self, key: ObjectKey, body: Mapping[str, Any], plan: Plan, before: Ledger, now: datetime
    ) -> Outcome:
        if plan.spec.suspend:
            held = Firing((), stops_active=False, missed=(), ledger=before)
            return Outcome(held, "Suspended", "creates no runs while spec.suspend is true")
        runs = [*self._runs.active(plan.uid), *self._runs.finished(plan.uid)]
        active = self._active(plan)
        made = {run.tick: run for run in runs if run.tick is not None}
        firing = decide(
            plan.timetable,
            plan.jitter,
            plan.policies,
            ledger=before,
            created=made,
            has_active=bool(active),
            now=now,
        )
        if firing.stops_active:
            refusal = await self._stop(key, body, active)
            if refusal is not None:
                return Outcome(firing, "DeleteRefused", refusal, is_refused=True)
        taken: list[datetime] = []
        for tick in firing.fire:
            problem = await self._create(key, body, plan, tick)
            if problem is TAKEN:
                taken.append(tick)
            elif problem is not None:
                done = firing.up_to_failure(tick, before).without_taken_names(taken)
                return Outcome(done, problem.reason, problem.message, is_refused=True)
        firing = firing.without_taken_names(taken)
        # What was created by a predecessor who could not write it down counts as fired.
        adopted = [tick for tick in made if before.decided < tick <= firing.ledger.decided or tick in before.queued]
        firing = firing._replace(fire=tuple(sorted({*firing.fire, *adopted})))
        if not plan.upcoming.after(now) and not firing.ledger.queued and not plan.spec.events:
            return Outcome(firing, "Ended", "has no tick any more")
        return Outcome(firing)

    async def _create(self, key: ObjectKey, body: Mapping[str, Any], plan: Plan, tick: datetime) -> Refusal | None:
        """Create the run of a tick; returns what is in the way if it can't be made.

        Raises:
            ApiError: the namespace is being deleted.
            ApiUnreachableError: no answer.
        """
        name = run_name(key.name, tick)
        try:
            run = build_run(body, plan.spec, plan.timetable, tick)
        except ExpressionError as error:
            return self._refused(body, "Invalid", f"run {name}: spec.runTemplate.spec.params: {error}")
        try:
            deadline = time.monotonic() + CREATE_S
            with self._creating.busy():
                reply = await self.writer.create(
                    FLOWRUNS, key.namespace, msgspec.json.encode(run), accept=METADATA, deadline=deadline
                )
        except ApiError as error:
            if is_already_exists(error):
                return None if await self._is_ours(key, plan, name, tick) else TAKEN
            if is_namespace_terminating(error):
                raise
            return self._refused(body, "CreateRefused", f"run {name}: {error.message or error}")
        uid = msgspec.json.decode(reply.body)["metadata"]["uid"]
        self._runs.on_created(key, plan.uid, ScheduledRun(name, uid, tick))
        self._metrics.schedule_lateness.observe(max(0.0, self.clock() - plan.jitter.due(tick).timestamp()))
        self.record(body, is_warning=False, reason="SuccessfulCreate", note=f"Created run {name}")
        return None

    def _refused(self, body: Mapping[str, Any], reason: str, message: str) -> Refusal:
        self.record(body, is_warning=True, reason="FailedCreate", note=message)
        return Refusal(reason, message)

    async def _is_ours(self, key: ObjectKey, plan: Plan, name: str, tick: datetime) -> bool:
        """Whether a run that exists already was made by us, or by someone before us who could not write it down."""
        found = await self._read_run(key.namespace, name)
        if found is None:
            return True
        if names.LABEL_BACKFILL in found["metadata"].get("labels", {}):
            # A Backfill has made the tick up.
            return True
        owners = found["metadata"].get("ownerReferences", ())
        if not any(owner["uid"] == plan.uid for owner in owners):
            return False
        self._runs.on_created(key, plan.uid, ScheduledRun(name, found["metadata"]["uid"], tick))
        return True

    async def _read_run(self, namespace: str, name: str) -> dict[str, Any] | None:
        try:
            reply = await self._client.request("GET", FLOWRUNS.path(namespace, name))
        except ApiError as error:
            if is_not_found(error):
                return None
            raise
        found: dict[str, Any] = msgspec.json.decode(reply.body)
        return found

    async def _stop(self, key: ObjectKey, body: Mapping[str, Any], active: Iterable[ScheduledRun]) -> str | None:
        """Delete the runs that are in the way of a later one, and return what is wrong if one can't be.

        They are out of the way when the watch shows them gone.
        """
        for run in active:
            if not run.is_deleting:
                problem = await self._delete(key, body, run, "to make way for a later one")
                if problem is not None:
                    return problem
        return None

    async def _delete(self, key: ObjectKey, body: Mapping[str, Any], run: ScheduledRun, why: str) -> str | None:
        deleted = self._deleted.setdefault(key, set())
        deleted.add(run.name)
        try:
            deadline = time.monotonic() + CREATE_S
            await self.writer.delete(FLOWRUNS, key.namespace, run.name, run.uid, deadline=deadline)
        except ApiError as error:
            if is_not_found(error) or is_conflict(error):
                return None
            deleted.discard(run.name)
            message = f"run {run.name} can't be deleted {why}: {error.message or error}"
            self.record(body, is_warning=True, reason="FailedDelete", note=message)
            return message
        self.record(body, is_warning=False, reason="SuccessfulDelete", note=f"Deleted run {run.name} {why}")
        return None

    async def _clean(self, key: ObjectKey, body: Mapping[str, Any], plan: Plan, stored: Ledger) -> None:
        """Delete runs that are over and that history does not keep; what is refused is tried at the next look."""
        finished = self._runs.finished(plan.uid)
        doomed = surplus(finished, plan.spec.history, stored)
        for run in [*doomed, *surplus_of_events(finished, plan.spec.history, self.clock())]:
            if run.name not in self._deleted.get(key, ()):
                await self._delete(key, body, run, "as history keeps no more")

    # Telling

    async def _tell_ends(self, key: ObjectKey, body: Mapping[str, Any]) -> None:
        """Tell what became of the runs that the stored status calls active."""
        uid = body["metadata"]["uid"]
        active = {run.name for run in self._runs.active(uid)}
        finished = {run.name: run for run in self._runs.finished(uid)}
        deleted = self._deleted.get(key, set())
        for run in self._runs.active(uid):
            if run.tick is None and not run.is_of_event:
                note = f"Run {run.name} names this Schedule as its owner, but is of none of its ticks"
                self.record(body, is_warning=True, reason="UnexpectedRun", note=note)
        for name in (body.get("status") or {}).get("active") or ():
            if name in active:
                continue
            if name in finished:
                self._tell_end(body, name, finished[name].state)
            elif name not in deleted:
                # Of the two watches the one of active runs may be ahead: then it is over, and not known to be.
                found = await self._read_run(key.namespace, name)
                if found is None:
                    note = f"Active run went missing: {name}; its tick gets no other"
                    self.record(body, is_warning=False, reason="MissingRun", note=note)
                else:
                    self._tell_end(body, name, found.get("status", {}).get("state", ""))
        deleted &= active | set(finished)

    def _tell_end(self, body: Mapping[str, Any], name: str, state: str) -> None:
        note = f"Saw completed run: {name}, state: {state}"
        self.record(body, is_warning=False, reason="SawCompletedRun", note=note)

    def _tell_decision(self, body: Mapping[str, Any], plan: Plan, before: Ledger, firing: Firing) -> None:
        zone = plan.timetable.zone
        told = notices(firing.missed, zone)
        told += [waits(tick, zone) for tick in firing.ledger.queued if tick not in before.queued]
        for notice in told:
            self.record(body, is_warning=notice.is_warning, reason=notice.reason, note=notice.note)
        for one in firing.missed:
            self._metrics.schedule_missed.labels(one.reason).inc(one.count)

    # The status

    def _tell_invalid(self, key: ObjectKey, body: Mapping[str, Any], error: InvalidSpecError) -> None:
        """Say why it creates no runs; nothing more happens until it is edited, or the operator starts anew."""
        is_zone = all(problem.path.endswith(".timeZone") for problem in error.problems)
        reason, message = "UnknownTimeZone" if is_zone else "InvalidSchedule", str(error)
        condition = self._ready(body, reason=reason, message=message)
        if condition not in ((body.get("status") or {}).get("conditions") or ()):
            self.record(body, is_warning=True, reason=reason, note=message)
        status: dict[str, Any] = {
            "observedGeneration": body["metadata"]["generation"],
            "conditions": _with_others(body, condition),
            "nextTickTimes": None,
        }
        if (body.get("status") or {}).get("observedGeneration") != status["observedGeneration"]:
            # It was made so. (A zone may also disappear by itself, and come back: then nothing was edited.)
            status["timing"] = NO_TIMING
        self._store_later(key, Decided(body["metadata"]["uid"], status, None, None))

    def _ready(self, body: Mapping[str, Any], *, reason: str, message: str) -> dict[str, Any]:
        return ready_condition(
            body.get("status") or {},
            is_ready=reason in ("Scheduled", "Ended"),
            reason=reason,
            message=message[:MESSAGE_CHARACTERS],
            generation=body["metadata"]["generation"],
            now=self.clock(),
        )

    def _sleep(self, key: ObjectKey, plan: Plan, outcome: Outcome, now: datetime) -> None:
        """Set the timer for the next look."""
        following = next(iter(plan.upcoming.after(now)), None)
        if plan.spec.jitter is not None and not outcome.is_refused:
            # The next to be due may have its tick behind it. (A tick that was refused has it, too.)
            following = plan.timetable.next(outcome.firing.ledger.decided)
        waits_s = [LONGEST_SLEEP_S]
        if following is not None and not plan.spec.suspend:
            waits_s.append((plan.jitter.due(following) - now).total_seconds() + PAD_S)
        if outcome.is_refused:
            waits_s.append(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._refusals.get(key, 0), 16)))
            self._refusals[key] = self._refusals.get(key, 0) + 1
        else:
            self._refusals.pop(key, None)
        self.queue.add_at(key, time.monotonic() + max(min(waits_s), 0.0))


def _with_others(body: Mapping[str, Any], ready: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the conditions: what is said of a Schedule besides, others say."""
    stored = (body.get("status") or {}).get("conditions") or ()
    return [ready, *(one for one in stored if one["type"] != ready["type"])]
