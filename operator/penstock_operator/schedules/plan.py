"""The part of a Schedule that decides about its ticks, parsed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec

from penstock.api.duration import duration_s
from penstock.api.schedule import ScheduleSpec
from penstock.engine.ticks.backfill_ticks import CLOCK_FIELDS
from penstock.engine.ticks.due_and_missed import Policies
from penstock.engine.ticks.jitter import Jitter
from penstock.engine.ticks.timetable import Timetable, read_timetable
from penstock.engine.ticks.upcoming import Upcoming
from penstock.engine.validation.validation import check_schedule, parse_schedule
from penstock.errors import InvalidSpecError
from penstock.kube.kinds.schedule import Schedule

SHOWN_TICKS: Final = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """A valid spec, parsed.

    Args:
        uid: of the Schedule.
        generation: of the spec.
        spec: the spec.
        timetable: its ticks.
        upcoming: the next of them.
        jitter: how long after its tick a run is due.
        policies: for missed and overlapping ticks.
        timing: digest of the fields that say when it is due.
    """

    uid: str
    generation: int
    spec: ScheduleSpec
    timetable: Timetable
    upcoming: Upcoming
    jitter: Jitter
    policies: Policies
    timing: str

    @classmethod
    def from_schedule(cls, schedule: Schedule) -> Plan:
        """Parse a Schedule.

        Raises:
            InvalidSpecError: the spec is invalid.
        """
        spec = parse_schedule({"spec": schedule.spec})
        if problems := check_schedule(spec):
            raise InvalidSpecError(problems)
        timetable = read_timetable(spec)
        uid = schedule.metadata.uid
        longest = timedelta(seconds=duration_s(spec.jitter) if spec.jitter is not None else 0)
        fields = spec.model_dump(mode="json", include=set(CLOCK_FIELDS), exclude_none=True)
        return cls(
            uid=uid,
            generation=schedule.metadata.generation,
            spec=spec,
            timetable=timetable,
            upcoming=Upcoming(timetable, SHOWN_TICKS),
            jitter=Jitter(timetable, longest, uid),
            policies=Policies.from_spec(spec),
            timing=hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()[:16],
        )
