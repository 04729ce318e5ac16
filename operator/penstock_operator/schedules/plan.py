"""A Schedule, read: what of it decides about its ticks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import msgspec

from penstock.api.duration import duration_s
from penstock.api.schedule import ScheduleSpec
from penstock.engine.ticks.firing import Policies
from penstock.engine.ticks.jitter import Jitter
from penstock.engine.ticks.past import CLOCK_FIELDS
from penstock.engine.ticks.timetable import Timetable, read_timetable
from penstock.engine.ticks.upcoming import Upcoming
from penstock.engine.validation.validation import check_schedule, parse_schedule
from penstock.errors import InvalidSpecError

SHOWN_TICKS: Final = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """A spec that can work, read.

    Args:
        uid: of the Schedule.
        generation: of the spec.
        spec: the spec.
        timetable: its ticks.
        upcoming: the next of them.
        jitter: how long after its tick a run is due.
        policies: what it asks for.
        timing: digest of what says when it is due.
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
    def read(cls, body: Mapping[str, Any]) -> Plan:
        """Read a Schedule.

        Raises:
            InvalidSpecError: it can't work.
        """
        spec = parse_schedule(body)
        if problems := check_schedule(spec):
            raise InvalidSpecError(problems)
        timetable = read_timetable(spec)
        uid = body["metadata"]["uid"]
        longest = timedelta(seconds=duration_s(spec.jitter) if spec.jitter is not None else 0)
        fields = spec.model_dump(mode="json", include=set(CLOCK_FIELDS), exclude_none=True)
        return cls(
            uid=uid,
            generation=body["metadata"]["generation"],
            spec=spec,
            timetable=timetable,
            upcoming=Upcoming(timetable, SHOWN_TICKS),
            jitter=Jitter(timetable, longest, uid),
            policies=Policies.from_spec(spec),
            timing=hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()[:16],
        )
