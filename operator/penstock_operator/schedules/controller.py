"""Schedules: a run for every tick, never two for one.

Each reconcile brings a Schedule to where it should be: `penstock.engine.ticks.due_and_missed` decides what is due, the
decision is carried out and stored, and a timer is set for the next tick. The order makes it safe to stop at any point:
a run is created before its tick is stored as decided, and its name follows from the tick.

When many Schedules are due at the same second, all runs are created first and the statuses stored afterwards. Until
then decisions are kept in memory, and count as if they were stored.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from penstock.engine.backoff import backed_off_s
from penstock.engine.keys import ObjectKey
from penstock.engine.ticks.due_and_missed import Firing, Ledger, decide
from penstock.errors import InvalidSpecError
from penstock.kube.client import ApiClient
from penstock.kube.conditions import Condition, ready_condition
from penstock.kube.errors import ApiError, is_namespace_terminating
from penstock.kube.kinds.schedule import Schedule
from penstock.kube.merge_patch import apply_merge_patch
from penstock_operator.runtime.controller import KeyedController
from penstock_operator.runtime.workqueue import WorkQueue
from penstock_operator.schedules.metrics import ScheduleMetrics
from penstock_operator.schedules.notices import ended_notice, missed_notices, waiting_notice
from penstock_operator.schedules.plan import Plan
from penstock_operator.schedules.run_owner import OwnerChanges, Planned
from penstock_operator.schedules.run_writer import NAME_TAKEN, EndRun, RunWriter
from penstock_operator.schedules.runs import ScheduledRun, ScheduleRuns, ScheduleUid, read_finished
from penstock_operator.schedules.status import Outcome, build_status, describe_events, read_ledger

logger = logging.getLogger(__name__)

PAD_S: Final = 0.01
"""After the tick, so that a timer that fires slightly early still finds it due."""
LONGEST_SLEEP_S: Final = 600.0
"""The system clock may be set: ticks are computed again at least this often."""
MESSAGE_CHARACTERS: Final = 8192
"""Of a condition; a Schedule may have many problems, each of which quotes it."""
NO_TIMING: Final = "none"
"""In place of a digest: whatever the timing will be, it is an edit, and acts from then on."""
FIRST_PAUSE_S: Final = 10.0
"""After a run was refused; it doubles each time."""
LONGEST_PAUSE_S: Final = 300.0
STATUS_WORKERS: Final = 16
LONGEST_UNSTORED_S: Final = 30.0
"""How long a status waits while runs are being created."""


class Decided(NamedTuple):
    """What a reconcile decided and has not stored yet."""

    uid: str
    status: Mapping[str, Any]
    plan: Plan | None
    """None if the Schedule is invalid."""
    ledger: Ledger | None


class ScheduleController(KeyedController[Schedule]):
    """Reconciles Schedules when they change, when their ticks are due and when their runs change.

    Args:
        client: for reads.
        runs: the runs of Schedules.
        end_run: ends a run of a name and uid early.
        options: those of `KeyedController`.
    """

    workers = 64
    """Most of a reconcile is waiting for the API server, and many Schedules are due at the same second."""
    ignores_own_writes = True

    def __init__(self, client: ApiClient, *, runs: ScheduleRuns, end_run: EndRun, **options: Any) -> None:
        super().__init__(**options)
        self._runs = runs
        self._writer = RunWriter(
            client,
            self.writer,
            runs=runs,
            end_run=end_run,
            metrics=self.metrics,
            record_event=self.record_event,
            clock=self.clock,
        )
        self._owners = OwnerChanges(
            client,
            self.writer,
            runs=runs,
            planned=self._planned,
            record_event=self.record_event,
            metrics=self.metrics,
            fail=options["fail"],
        )
        self._plans: dict[ObjectKey, Plan] = {}
        self._refusals: dict[ObjectKey, int] = {}
        self._decided: dict[ObjectKey, Decided] = {}
        self._to_store: WorkQueue[ObjectKey] = WorkQueue()
        self._schedule_metrics = ScheduleMetrics(self.metrics)
        runs.notify_on_change(self._on_run)

    def forget_object(self, key: ObjectKey) -> None:
        """Drop what is kept of a deleted Schedule. Runs that it owns are deleted by the garbage collector."""
        for known in (self._plans, self._refusals, self._decided):
            known.pop(key, None)
        self._writer.forget_schedule(key)
        self._schedule_metrics.remove_schedule(key)
        self._to_store.forget_key(key)

    def drop_state(self, key: ObjectKey) -> None:
        """Drop what was decided and not stored: it is decided again, and the names of runs follow from their ticks."""
        self._plans.pop(key, None)
        self._decided.pop(key, None)

    def _on_run(self, key: ObjectKey) -> None:
        if key in self.objects:
            self.queue.add(key)

    async def work(self) -> None:
        """Reconcile Schedules forever, and store what was decided."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(super().work())
            tasks.create_task(self.run_workers(self._to_store, self.store, workers=STATUS_WORKERS))
            tasks.create_task(self._owners.work())

    def latest(self, key: ObjectKey) -> Schedule | None:
        """Return a Schedule with the status that was decided last, stored or not."""
        schedule, decided = super().latest(key), self._decided.get(key)
        if schedule is None or decided is None or decided.uid != schedule.metadata.uid:
            return schedule
        return msgspec.structs.replace(schedule, status=apply_merge_patch(schedule.status, decided.status))

    async def reconcile(self, key: ObjectKey, item: Schedule) -> None:
        """Create the runs that are due, queue what was decided for storing, and set the timer."""
        if item.metadata.deletion_timestamp is not None:
            self._schedule_metrics.set_next_tick(key, None)
            return
        self._schedule_metrics.add_schedule(key)
        try:
            plan = await self._plan(key, item)
        except InvalidSpecError as error:
            self._schedule_metrics.set_next_tick(key, None)
            self._report_invalid(key, item, error)
            return
        now = datetime.fromtimestamp(self.clock(), tz=UTC)
        before, since = read_ledger(item, plan, now)
        await self._record_ended_runs(key, item)
        try:
            outcome = await self._carry_out(key, item, plan, before, now)
        except ApiError as error:
            if not is_namespace_terminating(error):
                raise
            return
        self._record_decision(item, plan, before, outcome.firing)
        status = build_status(
            item,
            plan,
            outcome,
            active=self._active(key, plan),
            finished=self._runs.finished(ScheduleUid(key.namespace, plan.uid)),
            since=since,
            now=now,
        )
        status["conditions"] = _with_others(item, self._ready(item, reason=outcome.reason, message=outcome.message))
        self._store_later(key, Decided(plan.uid, status, plan, outcome.firing.ledger))
        self._set_timer(key, plan, outcome, now)

    def _store_later(self, key: ObjectKey, decided: Decided) -> None:
        before = self._decided.get(key)
        if before is not None and before.uid == decided.uid:
            # Each reconcile gives only the fields that it decided.
            decided = decided._replace(status={**before.status, **decided.status})
        self._decided[key] = decided
        self._to_store.add(key)

    async def store(self, key: ObjectKey) -> None:
        """Store what was decided of a Schedule, and then delete the runs that history does not keep."""
        await self._writer.creating.wait(LONGEST_UNSTORED_S)
        schedule, decided = super().latest(key), self._decided.get(key)
        if schedule is None or decided is None or decided.uid != schedule.metadata.uid:
            return
        # Other controllers may have changed their conditions meanwhile.
        conditions = _with_others(schedule, decided.status["conditions"][0])
        await self.store_status(key, schedule, {**decided.status, "conditions": conditions})
        if self._decided.get(key) is decided:
            del self._decided[key]
        if decided.plan is not None and decided.ledger is not None:
            await self._writer.delete_surplus(key, schedule, decided.plan, decided.ledger)
            self._owners.add(key, decided.plan)

    async def _plan(self, key: ObjectKey, schedule: Schedule) -> Plan:
        metadata = schedule.metadata
        known = self._plans.get(key)
        if known is None or (known.uid, known.generation) != (metadata.uid, metadata.generation):
            # In a thread, because the inline spec of its runs may have thousands of tasks.
            known = self._plans[key] = await asyncio.to_thread(Plan.from_schedule, schedule)
        return known

    def _planned(self, key: ObjectKey) -> Planned | None:
        schedule, plan = self.latest(key), self._plans.get(key)
        if schedule is None or plan is None or schedule.metadata.deletion_timestamp is not None:
            return None
        is_latest = (plan.uid, plan.generation) == (schedule.metadata.uid, schedule.metadata.generation)
        return Planned(schedule, plan) if is_latest else None

    def _active(self, key: ObjectKey, plan: Plan) -> list[ScheduledRun]:
        """Return the unfinished runs of its ticks."""
        return [run for run in self._runs.active(ScheduleUid(key.namespace, plan.uid)) if run.tick is not None]

    async def _carry_out(
        self, key: ObjectKey, schedule: Schedule, plan: Plan, before: Ledger, now: datetime
    ) -> Outcome:
        if plan.spec.suspend:
            held = Firing((), stops_active=False, missed=(), ledger=before)
            return Outcome(held, "Suspended", "suspended: no runs are created while spec.suspend is true")
        schedule_uid = ScheduleUid(key.namespace, plan.uid)
        runs = [*self._runs.active(schedule_uid), *self._runs.finished(schedule_uid)]
        active = self._active(key, plan)
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
            self._writer.replace_runs(key, schedule, active)
        taken: list[datetime] = []
        for tick in firing.fire:
            problem = await self._writer.create_run(key, schedule, plan, tick)
            if problem is NAME_TAKEN:
                taken.append(tick)
            elif problem is not None:
                done = firing.up_to_failure(tick, before).without_taken_names(taken)
                return Outcome(done, problem.reason, problem.message, is_refused=True)
        firing = firing.without_taken_names(taken)
        # Runs that an earlier leader created and could not store count as fired.
        adopted = [tick for tick in made if before.decided < tick <= firing.ledger.decided or tick in before.queued]
        firing = firing._replace(fire=tuple(sorted({*firing.fire, *adopted})))
        # The conditions of other controllers as they are stored, not as they were when this one last decided.
        return _describe(super().latest(key) or schedule, plan, firing, now)

    # Events

    async def _record_ended_runs(self, key: ObjectKey, schedule: Schedule) -> None:
        """Record an Event about each run that has ended though the stored status calls it active."""
        uid = ScheduleUid(key.namespace, schedule.metadata.uid)
        active = {run.name for run in self._runs.active(uid)}
        finished = {run.name: run for run in self._runs.finished(uid)}
        for name in schedule.status.active:
            if name in active:
                continue
            if name in finished:
                self._record_ended_run(schedule, finished[name])
            elif not self._writer.has_deleted(key, name):
                # The watch of active runs may be ahead of the other one: then the run has ended, and that is not known.
                found = await self._writer.read_run(key.namespace, name)
                if found is None:
                    note = f"Run {name} disappeared; no replacement is created for its tick"
                    self.record_event(schedule, is_warning=False, reason="MissingRun", note=note)
                else:
                    self._record_ended_run(schedule, read_finished(found, key.name))
        self._writer.forget_deleted(key, keep=active | set(finished))

    def _record_ended_run(self, schedule: Schedule, run: ScheduledRun) -> None:
        notice = ended_notice(run)
        self.record_event(schedule, is_warning=notice.is_warning, reason=notice.reason, note=notice.note)

    def _record_decision(self, schedule: Schedule, plan: Plan, before: Ledger, firing: Firing) -> None:
        zone = plan.timetable.zone
        notices = missed_notices(firing.missed, zone)
        notices += [waiting_notice(tick, zone) for tick in firing.ledger.queued if tick not in before.queued]
        for notice in notices:
            self.record_event(schedule, is_warning=notice.is_warning, reason=notice.reason, note=notice.note)
        for one in firing.missed:
            self._schedule_metrics.count_missed(schedule.metadata.key, one.reason, one.count)

    # The status

    def _report_invalid(self, key: ObjectKey, schedule: Schedule, error: InvalidSpecError) -> None:
        """Store why it creates no runs. It is not reconciled again before it is edited or the operator restarts."""
        is_zone = all(problem.path.endswith(".timeZone") for problem in error.problems)
        reason, message = "UnknownTimeZone" if is_zone else "InvalidSchedule", str(error)
        condition = self._ready(schedule, reason=reason, message=message)
        if condition not in schedule.status.conditions:
            self.record_event(schedule, is_warning=True, reason=reason, note=message)
        generation = schedule.metadata.generation
        status: dict[str, Any] = {
            "observedGeneration": generation,
            "conditions": _with_others(schedule, condition),
            "nextTickTimes": None,
        }
        if schedule.status.observed_generation != generation:
            # An edit made it invalid. (A time zone may also disappear and come back: then nothing was edited.)
            status["timing"] = NO_TIMING
        self._store_later(key, Decided(schedule.metadata.uid, status, None, None))

    def _ready(self, schedule: Schedule, *, reason: str, message: str) -> Condition:
        return ready_condition(
            schedule.status.conditions,
            is_ready=reason in ("Scheduled", "Ended"),
            reason=reason,
            message=message[:MESSAGE_CHARACTERS],
            generation=schedule.metadata.generation,
            now=self.clock(),
        )

    def _set_timer(self, key: ObjectKey, plan: Plan, outcome: Outcome, now: datetime) -> None:
        following = next(iter(plan.upcoming.after(now)), None)
        next_due = None if following is None or plan.spec.suspend else plan.jitter.due(following)
        if not outcome.is_refused or plan.spec.suspend:
            # A tick whose run was refused is still due.
            self._schedule_metrics.set_next_tick(key, None if next_due is None else next_due.timestamp())
        if plan.spec.jitter is not None and not outcome.is_refused:
            # The next run to be due may have its tick in the past. (That of a refused run is, too.)
            following = plan.timetable.next(outcome.firing.ledger.decided)
        waits_s = [LONGEST_SLEEP_S]
        if following is not None and not plan.spec.suspend:
            waits_s.append((plan.jitter.due(following) - now).total_seconds() + PAD_S)
        if outcome.is_refused:
            turn = self._refusals.get(key, 0)
            waits_s.append(backed_off_s(FIRST_PAUSE_S, factor=2.0, max_delay_s=LONGEST_PAUSE_S, turn=turn))
            self._refusals[key] = turn + 1
        else:
            self._refusals.pop(key, None)
        self.queue.add_at(key, time.monotonic() + max(min(waits_s), 0.0))


def _describe(schedule: Schedule, plan: Plan, firing: Firing, now: datetime) -> Outcome:
    """Return the outcome of a decision that was carried out."""
    upcoming = plan.upcoming.after(now)
    if upcoming:
        return Outcome(firing, message=f"active; next tick {upcoming[0].astimezone(plan.timetable.zone).isoformat()}")
    if plan.spec.events:
        reason, message = describe_events(schedule)
        return Outcome(firing, reason, message)
    if firing.ledger.queued:
        return Outcome(firing, message="active; the last tick waits for an earlier run to finish")
    return Outcome(firing, "Ended", "finished: there are no more ticks")


def _with_others(schedule: Schedule, ready: Condition) -> list[Condition]:
    """Return the conditions of a Schedule, with those of other controllers."""
    return [ready, *(one for one in schedule.status.conditions if one.type != ready.type)]
