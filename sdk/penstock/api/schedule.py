"""The Schedule: creates FlowRuns by the clock."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import Field

from penstock.api.base import MAX_LABELS, ApiModel, Count, Duration, Time
from penstock.api.condition import Conditions
from penstock.api.flowrun import FlowRunSpec
from penstock.api.marker import ATOMIC_LIST, Rule

Label = Annotated[str, Field(max_length=63)]
Annotation = Annotated[str, Field(max_length=16384)]
MOMENT_PATTERN: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?$"
)
Moment = Annotated[str, Field(max_length=40, pattern=MOMENT_PATTERN)]
"""A time with an offset, or one on the wall of the Schedule's zone, or a date alone, which is its midnight."""
RecurrenceRule = Annotated[str, Field(min_length=1, max_length=1024)]
CronExpression = Annotated[str, Field(min_length=1, max_length=256)]


class RunMetadata(ApiModel):
    """Metadata of the runs."""

    labels: Annotated[dict[str, Label], Field(max_length=MAX_LABELS)] | None = None
    """Labels of each run."""
    annotations: Annotated[dict[str, Annotation], Field(max_length=MAX_LABELS)] | None = None
    """Annotations of each run."""


class RunTemplate(ApiModel):
    """The runs to create."""

    metadata: RunMetadata | None = None
    """Labels and annotations of each run."""
    spec: FlowRunSpec
    """Spec of each run; in params, `$(tick.time)`, `$(tick.date)` and `$(tick.previous.date)` are replaced."""


class Interval(ApiModel):
    """Ticks at equal distances."""

    every: Duration
    """The distance, in whole minutes, by the time that really passes: where a clock is set, the hour shifts."""
    anchor: Moment | None = None
    """One of the ticks, past or to come; the others are before and after it. 1970-01-01T00:00:00Z if not given."""


class ScheduleSpec(ApiModel):
    """When to run what. At least one of cron, interval, at and rrule; a tick is due when any of them says so."""

    rules: ClassVar = (
        Rule(
            "has(self.cron) || has(self.interval) || has(self.at) || has(self.rrule)",
            "give at least one of cron, interval, at and rrule",
        ),
    )

    cron: Annotated[list[CronExpression], Field(min_length=1, max_length=32), ATOMIC_LIST] | None = None
    """Cron expressions of five fields, or @hourly, @daily, @weekly, @monthly, @yearly."""
    interval: Interval | None = None
    """Ticks at equal distances."""
    at: Annotated[list[Moment], Field(min_length=1, max_length=1000), ATOMIC_LIST] | None = None
    """Dates and times, on whole minutes."""
    rrule: Annotated[list[RecurrenceRule], Field(min_length=1, max_length=32), ATOMIC_LIST] | None = None
    """Recurrence rules of RFC 5545, such as FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18; a line before it may give DTSTART."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """IANA name of the zone in which all times without an offset are read, and ticks are shown. UTC if not given."""
    start_time: Moment | None = None
    """No tick is before it."""
    end_time: Moment | None = None
    """No tick is after it."""
    suspend: bool | None = None
    """Creates no new runs while true; those that run go on."""
    run_template: RunTemplate
    """What each of its runs is made of."""


class ScheduleStatus(ApiModel):
    """What became of a Schedule."""

    observed_generation: Count | None = None
    """Generation of the spec that this status is about."""
    conditions: Conditions | None = None
    """Ready: whether the Schedule creates runs."""
    timing: Annotated[str, Field(max_length=16384)] | None = None
    """The cron expressions and the zone in force."""
    timing_since: Time | None = None
    """Since when they are in force: no tick before is made up for."""
    last_tick_time: Time | None = None
    """The last tick for which a run was created."""
    last_run: Annotated[str, Field(max_length=63)] | None = None
    """Name of that run."""
    next_tick_time: Time | None = None
    """The next tick."""
