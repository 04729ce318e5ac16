"""The runs of Schedules, as the API server has them: which are active, and how the others ended.

Whether a run overlaps another follows from what exists, never from a count of what was created. There are two watches,
both of runs that carry a Schedule's label: of unfinished runs the metadata is enough; of finished runs, which no longer
change, the status is read too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from penstock.api import names
from penstock.engine.keys import ObjectKey
from penstock.engine.state import FINAL_RUN_STATES, RunState, has_not_run
from penstock.kube.client import ApiClient
from penstock.kube.kinds.run_summary import FINISHED_RUNS, RunSummary, RunSummaryStatus
from penstock.kube.metadata import ObjectMeta, PartialObject
from penstock.kube.reflector import EventType, Reflector
from penstock.kube.resources import FLOWRUNS
from penstock_operator.runtime.bounded import BoundedSet
from penstock_operator.schedules.identity import (
    ScheduleReference,
    any_backfill_of,
    backfilled_schedule_of,
    schedule_of,
    tick_of,
)

KNOWN_LEFT: Final = 10_000
"""Uids of finished or deleted runs, in case the reply to their creation comes after the watch has shown their end."""
_UNFINISHED: Final = ",".join(f"status.state!={state}" for state in sorted(FINAL_RUN_STATES))


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """A run of a Schedule.

    Args:
        name: its name.
        uid: its uid.
        tick: what it is for; None if its name is not one that a Schedule gives.
        state: how it ended; empty while it is unfinished.
        completion_time: when, RFC 3339.
        is_deleting: whether it is being deleted.
        is_of_event: whether it was created for an event, which has no tick.
        has_started: whether a task of it was started. It matters once the run has finished.
        is_owned: whether the Schedule is its owner.
        has_uid: whether it names the Schedule's uid in an annotation, and that of its Backfill.
        backfill: uid of the Backfill that created it; empty if none did.
        flow: name of its Flow; empty for an inline spec.
    """

    name: str
    uid: str
    tick: datetime | None
    state: str = ""
    completion_time: str | None = None
    is_deleting: bool = False
    is_of_event: bool = False
    has_started: bool = True
    is_owned: bool = False
    has_uid: bool = True
    backfill: str = ""
    flow: str = ""

    @property
    def has_not_run(self) -> bool:
        """Whether it ended without having run."""
        return has_not_run(self.state, has_started=self.has_started)

    @property
    def is_successful(self) -> bool:
        """Whether it has run and has finished successfully."""
        return self.state == RunState.COMPLETED


class ScheduleUid(NamedTuple):
    """Which Schedule: whoever may create runs in one namespace can write the uid of another namespace's Schedule."""

    namespace: str
    uid: str


class _Owner(NamedTuple):
    key: ObjectKey
    schedule: ScheduleUid


class ScheduleRuns:
    """Keeps the runs of every Schedule, by its namespace and uid."""

    def __init__(self) -> None:
        self._active: dict[ScheduleUid, dict[str, ScheduledRun]] = {}
        self._finished: dict[ScheduleUid, dict[str, ScheduledRun]] = {}
        self._backfilled: dict[ScheduleUid, dict[str, ScheduledRun]] = {}
        """The finished runs that outlive their Backfill: the Schedule decides about their owner, and counts none."""
        self._owners: dict[str, _Owner] = {}
        """By the uid of the run: nothing else is known of one that was deleted while the watch was down."""
        self._left: BoundedSet[str] = BoundedSet(KNOWN_LEFT)
        self._on_change: Callable[[ObjectKey], None] = lambda key: None  # noqa: ARG005 - until `notify_on_change`

    def reflectors(self, client: ApiClient, namespaces: Iterable[str]) -> list[Reflector[Any]]:
        """Return the watches whose events are handled here.

        Args:
            client: the way to the API server.
            namespaces: a single empty one for all.
        """
        return [each for namespace in namespaces for each in self._watches_of(client, namespace)]

    def _watches_of(self, client: ApiClient, namespace: str) -> tuple[Reflector[Any], ...]:
        unfinished = Reflector(
            client,
            FLOWRUNS,
            kind=PartialObject,
            namespace=namespace,
            # One that is being restored from a backup is not active.
            label_selector=f"{names.LABEL_SCHEDULE},!{names.LABEL_RESTORED}",
            field_selector=_UNFINISHED,
            metadata_only=True,
            on_event=self.on_unfinished,
        )
        finished = Reflector(
            client,
            FLOWRUNS,
            kind=RunSummary,
            namespace=namespace,
            label_selector=names.LABEL_SCHEDULE,
            field_selector=FINISHED_RUNS,
            on_event=self.on_finished,
        )
        return unfinished, finished

    def notify_on_change(self, on_change: Callable[[ObjectKey], None]) -> None:
        """Set what is called with a Schedule's key when one of its runs is created, changed or deleted."""
        self._on_change = on_change

    def active(self, schedule: ScheduleUid) -> list[ScheduledRun]:
        """Return the unfinished runs of a Schedule, in the order of their ticks; those without one are last."""
        return _in_order(self._active.get(schedule, {}).values())

    def finished(self, schedule: ScheduleUid) -> list[ScheduledRun]:
        """Return the finished runs of a Schedule, likewise."""
        return _in_order(self._finished.get(schedule, {}).values())

    def of_any_kind(self, schedule: ScheduleUid) -> list[ScheduledRun]:
        """Return all runs of a Schedule: active, finished, and those of its Backfills that outlive them."""
        kinds = (self._active, self._finished, self._backfilled)
        return [run for kind in kinds for run in kind.get(schedule, {}).values()]

    def find(self, schedule: ScheduleUid, uid: str) -> ScheduledRun | None:
        """Return one of them by its uid."""
        kinds = (self._active, self._finished, self._backfilled)
        return next((kind[schedule][uid] for kind in kinds if uid in kind.get(schedule, {})), None)

    def finished_of_all(self) -> list[tuple[ObjectKey, str, list[ScheduledRun]]]:
        """Return the finished runs of every Schedule, which need not exist any more, with its name and uid.

        Those of its Backfills that outlive them are given apart.
        """
        both = [*self._finished.values(), *self._backfilled.values()]
        owned = ((self._owners.get(next(iter(runs))), runs) for runs in both)
        return [(owner.key, owner.schedule.uid, list(runs.values())) for owner, runs in owned if owner is not None]

    def on_created(self, key: ObjectKey, uid: str, run: ScheduledRun) -> None:
        """Record a run from the reply to its creation: the watch may be late."""
        if run.uid not in self._left:
            schedule = ScheduleUid(key.namespace, uid)
            self._owners[run.uid] = _Owner(key, schedule)
            self._active.setdefault(schedule, {}).setdefault(run.uid, run)

    def on_unfinished(self, event: EventType, item: PartialObject) -> None:
        """Handle a change of an unfinished run; DELETED means that it finished or was deleted."""
        uid = item.metadata.uid
        if event is EventType.DELETED:
            owner = self._owners.get(uid)
            self._note_left(uid)
        elif uid in self._left:
            return
        else:
            before = self._owners.pop(uid, None)
            owner = self._read_owner(item.metadata)
            if before is not None and before != owner:
                _discard(self._active, before.schedule, uid)
                self._notify(before)
            if owner is not None:
                runs, run = self._active.setdefault(owner.schedule, {}), _read_run(item.metadata, owner)
                if runs.get(uid) == run:
                    # Something else about it has changed, or it is known from the reply to its creation.
                    return
                runs[uid] = run
        self._notify(owner)

    def on_finished(self, event: EventType, item: RunSummary) -> None:
        """Handle a finished run, or its deletion."""
        uid = item.metadata.uid
        self._note_left(uid)
        before = self._owners.pop(uid, None)
        if before is not None:
            # Also if it still exists: labels and annotations may be edited, and it be another Schedule's then.
            _discard(self._finished, before.schedule, uid)
            _discard(self._backfilled, before.schedule, uid)
        owner = None if event is EventType.DELETED else self._read_owner(item.metadata)
        if owner is not None:
            self._finished.setdefault(owner.schedule, {})[uid] = _read_run(item.metadata, owner, item.status)
            self._notify(owner)
        elif event is not EventType.DELETED and (reference := backfilled_schedule_of(item.metadata)) is not None:
            # Its Schedule decides nothing by it, and is not notified.
            owner = self._note_owner(item.metadata, reference)
            self._backfilled.setdefault(owner.schedule, {})[uid] = _read_run(item.metadata, owner, item.status)
        if before != owner:
            self._notify(before)

    def _read_owner(self, metadata: ObjectMeta) -> _Owner | None:
        reference = schedule_of(metadata)
        return None if reference is None else self._note_owner(metadata, reference)

    def _note_owner(self, metadata: ObjectMeta, reference: ScheduleReference) -> _Owner:
        key = ObjectKey(metadata.namespace, reference.name)
        owner = self._owners[metadata.uid] = _Owner(key, ScheduleUid(metadata.namespace, reference.uid))
        return owner

    def _note_left(self, uid: str) -> None:
        self._left.add(uid)
        owner = self._owners.get(uid)
        if owner is None:
            return
        _discard(self._active, owner.schedule, uid)
        if not any(uid in known.get(owner.schedule, {}) for known in (self._finished, self._backfilled)):
            # Nothing else is kept of it. If it has finished, the other watch shows it.
            del self._owners[uid]

    def _notify(self, owner: _Owner | None) -> None:
        if owner is not None:
            self._on_change(owner.key)


def read_finished(run: RunSummary, schedule: str) -> ScheduledRun:
    """Return what a run that has ended says of itself; whose it is is known.

    Args:
        run: the run.
        schedule: name of its Schedule.
    """
    metadata, status = run.metadata, run.status
    return ScheduledRun(
        name=metadata.name,
        uid=metadata.uid,
        tick=tick_of(schedule, metadata.name),
        state=status.state,
        completion_time=status.completion_time,
        is_of_event=names.LABEL_EVENT in metadata.labels,
        has_started=status.start_time is not None,
    )


def _read_run(metadata: ObjectMeta, owner: _Owner, status: RunSummaryStatus | None = None) -> ScheduledRun:
    status, backfill = status or RunSummaryStatus(), any_backfill_of(metadata)
    noted = metadata.annotations
    return ScheduledRun(
        name=metadata.name,
        uid=metadata.uid,
        tick=tick_of(owner.key.name, metadata.name),
        state=status.state,
        completion_time=status.completion_time,
        is_deleting=metadata.deletion_timestamp is not None,
        is_of_event=names.LABEL_EVENT in metadata.labels,
        has_started=status.start_time is not None,
        is_owned=any(each.is_a("Schedule") and each.uid == owner.schedule.uid for each in metadata.owner_references),
        has_uid=noted.get(names.ANNOTATION_SCHEDULE_UID) == owner.schedule.uid
        and noted.get(names.ANNOTATION_BACKFILL_UID, "") == backfill,
        backfill=backfill,
        flow=metadata.labels.get(names.LABEL_FLOW, ""),
    )


def _discard(runs: dict[ScheduleUid, dict[str, ScheduledRun]], schedule: ScheduleUid, uid: str) -> None:
    of_schedule = runs.get(schedule, {})
    of_schedule.pop(uid, None)
    if not of_schedule:
        runs.pop(schedule, None)


def _in_order(runs: Iterable[ScheduledRun]) -> list[ScheduledRun]:
    return sorted(runs, key=lambda run: (run.tick is None, run.tick.timestamp() if run.tick else 0.0, run.name))
