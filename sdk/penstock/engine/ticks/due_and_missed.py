"""Which ticks get a run now, which wait, and which are missed.

Pure: the same ticks, runs and time lead to the same decision, whatever happened to the operator before. What has to be
remembered is in `Ledger`, which is part of the Schedule's status.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice, takewhile
from typing import Final, NamedTuple

from penstock.api.duration import duration_s
from penstock.api.schedule import OnMissed, ScheduleSpec
from penstock.engine.ticks.jitter import Jitter
from penstock.engine.ticks.timetable import Timetable

ON_TIME: Final = timedelta(minutes=1)
"""A tick is on time if its run has been due for less. Ticks are on whole minutes, so at most one tick is on time."""
MOST_LOOKED_AT: Final = 1000
"""Due ticks that are handled one by one. The number of further ones is estimated."""
DEFAULT_MAX_LATE: Final = 100
DEFAULT_QUEUED: Final = 1
_INSTANT: Final = timedelta(microseconds=1)


class MissedPolicy(StrEnum):
    """What happens to ticks that are late."""

    SKIP = "Skip"
    LATEST = "Latest"
    ALL = "All"


class OverlapPolicy(StrEnum):
    """What happens to a tick while an earlier run has not finished."""

    ALLOW = "Allow"
    SKIP = "Skip"
    QUEUE = "Queue"
    REPLACE = "Replace"


class MissedReason(StrEnum):
    """Why a tick got no run."""

    TOO_LATE = "TooLate"
    NOT_MADE_UP = "NotMadeUp"
    RUN_ALREADY_ACTIVE = "RunAlreadyActive"
    QUEUE_FULL = "QueueFull"
    REPLACED = "Replaced"
    NAME_TAKEN = "NameTaken"


@dataclass(frozen=True, slots=True)
class Policies:
    """What a Schedule asks for.

    Args:
        missed: what happens to ticks that are late.
        within: how late a run may be; None for no limit.
        max_late: with `ALL`, how many late ticks get a run.
        overlap: what happens to a tick while an earlier run has not finished.
        max_queued: with `QUEUE`, how many ticks wait.
    """

    missed: MissedPolicy = MissedPolicy.LATEST
    within: timedelta | None = None
    max_late: int = DEFAULT_MAX_LATE
    overlap: OverlapPolicy = OverlapPolicy.ALLOW
    max_queued: int = DEFAULT_QUEUED

    @classmethod
    def from_spec(cls, spec: ScheduleSpec) -> Policies:
        """Return the policies of a spec, with the defaults filled in."""
        missed = spec.on_missed or OnMissed()
        return cls(
            missed=MissedPolicy(missed.policy or MissedPolicy.LATEST),
            within=None if missed.within is None else timedelta(seconds=duration_s(missed.within)),
            max_late=missed.max or DEFAULT_MAX_LATE,
            overlap=OverlapPolicy(spec.on_overlap or OverlapPolicy.ALLOW),
            max_queued=spec.max_queued or DEFAULT_QUEUED,
        )


class Ledger(NamedTuple):
    """What has been decided so far."""

    decided: datetime
    """Every tick up to this time is decided."""
    queued: tuple[datetime, ...] = ()
    """Ticks that wait for an earlier run to finish, the oldest first."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Ticks that get no run.

    Args:
        reason: why.
        tick: the last of them.
        count: how many, about.
    """

    reason: MissedReason
    tick: datetime
    count: int


class Firing(NamedTuple):
    """A decision."""

    fire: tuple[datetime, ...]
    """Ticks that get a run now, in this order."""
    stops_active: bool
    """Whether the runs that have not finished are to be ended first."""
    missed: tuple[Missed, ...]
    ledger: Ledger
    """What is decided when all of that has been done."""

    def without_taken_names(self, taken: Collection[datetime]) -> Firing:
        """Return the decision without ticks whose run names are already taken by other runs."""
        if not taken:
            return self
        missed = Missed(MissedReason.NAME_TAKEN, max(taken), len(taken))
        fire = tuple(tick for tick in self.fire if tick not in taken)
        return self._replace(fire=fire, missed=(*self.missed, missed))

    def up_to_failure(self, tick: datetime, before: Ledger) -> Firing:
        """Return the part of the decision that was done when a run could not be created.

        Args:
            tick: the one whose run could not be created.
            before: what had been decided before.
        """
        decided = max(before.decided, tick - timedelta(seconds=1)) if tick > before.decided else before.decided
        left = (*self.fire[self.fire.index(tick) :], *self.ledger.queued)
        return Firing(
            self.fire[: self.fire.index(tick)],
            self.stops_active,
            tuple(missed for missed in self.missed if missed.tick <= decided),
            Ledger(decided, tuple(waiting for waiting in left if waiting <= decided)),
        )


def decide(
    timetable: Timetable,
    jitter: Jitter,
    policies: Policies,
    *,
    ledger: Ledger,
    created: Container[datetime],
    has_active: bool,
    now: datetime,
) -> Firing:
    """Decide what happens to the ticks that are due.

    Args:
        timetable: the ticks.
        jitter: how long after its tick a run is due.
        policies: what the Schedule asks for.
        ledger: what has been decided.
        created: ticks that have a run already: its creator stopped before it could store that.
        has_active: whether a run of the Schedule has not finished.
        now: an aware time.
    """
    due, unseen = _due(timetable, jitter, ledger.decided, now)
    drops = _Drops(unseen)
    waiting = [tick for tick in ledger.queued if tick not in created]
    late = [tick for tick in due if tick not in created]
    if policies.within is not None:
        oldest = now - policies.within
        waiting = drops.all_but(
            MissedReason.TOO_LATE, waiting, [tick for tick in waiting if jitter.due(tick) >= oldest]
        )
        late = drops.all_but(MissedReason.TOO_LATE, late, [tick for tick in late if jitter.due(tick) >= oldest])
    waiting += drops.all_but(MissedReason.NOT_MADE_UP, late, _to_create(late, jitter, policies, now))
    fire, queued, stops_active = _overlap(waiting, policies, drops, has_active=has_active)
    decided = due[-1] if due else ledger.decided
    return Firing(tuple(fire), stops_active, tuple(drops.missed), Ledger(decided, tuple(queued)))


class _Drops:
    """Counts ticks that get no run.

    Args:
        unseen: estimated number of ticks before those that are handled one by one; they count with the first drop.
    """

    def __init__(self, unseen: int) -> None:
        self.missed: list[Missed] = []
        self._unseen = unseen

    def all_but(self, reason: MissedReason, ticks: Sequence[datetime], kept: list[datetime]) -> list[datetime]:
        """Drop all ticks but some, and return those."""
        gone = [tick for tick in ticks if tick not in kept]
        if gone:
            self.missed.append(Missed(reason, gone[-1], len(gone) + self._unseen))
            self._unseen = 0
        return kept


def _due(timetable: Timetable, jitter: Jitter, decided: datetime, now: datetime) -> tuple[list[datetime], int]:
    """Return the latest thousand ticks that are due and undecided, and the estimated number before them."""
    back = takewhile(lambda tick: tick > decided, timetable.backward(now + _INSTANT))
    ticks = list(islice(back, MOST_LOOKED_AT + 1))[::-1]
    if ticks and jitter.due(ticks[-1]) > now:
        ticks.pop()
    if len(ticks) <= MOST_LOOKED_AT:
        return ticks, 0
    ticks = ticks[-MOST_LOOKED_AT:]
    distance = (ticks[-1] - ticks[0]) / (len(ticks) - 1)
    return ticks, max(1, math.ceil((ticks[0] - decided) / distance) - 1)


def _to_create(candidates: list[datetime], jitter: Jitter, policies: Policies, now: datetime) -> list[datetime]:
    if policies.missed is MissedPolicy.ALL:
        return candidates[-policies.max_late :]
    latest = candidates[-1:]
    if policies.missed is MissedPolicy.SKIP:
        return [tick for tick in latest if now - jitter.due(tick) < ON_TIME]
    return latest


def _overlap(
    waiting: list[datetime], policies: Policies, drops: _Drops, *, has_active: bool
) -> tuple[list[datetime], list[datetime], bool]:
    """Return the ticks to fire, the ticks to queue, and whether the active runs are to be ended."""
    if not waiting or policies.overlap is OverlapPolicy.ALLOW:
        return waiting, [], False
    if policies.overlap is OverlapPolicy.REPLACE:
        latest = drops.all_but(MissedReason.REPLACED, waiting, waiting[-1:])
        return ([], latest, True) if has_active else (latest, [], False)
    first, others = ([], waiting) if has_active else (waiting[:1], waiting[1:])
    if policies.overlap is OverlapPolicy.SKIP:
        drops.all_but(MissedReason.RUN_ALREADY_ACTIVE, others, [])
        return first, [], False
    return first, drops.all_but(MissedReason.QUEUE_FULL, others, others[-policies.max_queued :]), False
