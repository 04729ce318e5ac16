"""The Schedule: creates FlowRuns by the clock."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from penstock.api.base import MAX_LABELS, ApiModel, Count, Duration, Time
from penstock.api.condition import Conditions
from penstock.api.event import Events, EventStatus
from penstock.api.flowrun import FlowRunSpec
from penstock.api.marker import ATOMIC_LIST, Rule

MAX_MISSED: Final = 1000
MAX_QUEUED: Final = 100
MAX_HISTORY: Final = 1000

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
    """Spec of each run. Expressions in params see `tick` in a run by the clock and `event` in a run by an event."""


class Interval(ApiModel):
    """Ticks at equal distances."""

    every: Duration
    """The distance, in whole minutes, by the time that really passes: where a clock is set, the hour shifts."""
    anchor: Moment | None = None
    """One of the ticks, past or to come; the others are before and after it. 1970-01-01T00:00:00Z if not given."""


class OnMissed(ApiModel):
    """What becomes of ticks whose runs could not be created within a minute, as no operator ran or it was refused."""

    policy: Literal["Skip", "Latest", "All"] | None = None
    """Skip: none is made up for; Latest: the last one is (the default); All: each is, the oldest first."""
    within: Duration | None = None
    """How late a run may be created at most. Without a limit if not given."""
    max: Annotated[int, Field(ge=1, le=MAX_MISSED)] | None = None
    """How many are made up for at most with All, the latest ones; 100 if not given."""


class History(ApiModel):
    """How many of its runs that are over are kept, the latest ones."""

    completed: Annotated[int, Field(ge=0, le=MAX_HISTORY)] | None = None
    """Of those that completed; 3 if not given."""
    failed: Annotated[int, Field(ge=0, le=MAX_HISTORY)] | None = None
    """Of the others; 3 if not given."""


class ScheduleSpec(ApiModel):
    """When to run what: by the clock of cron, interval, at and rrule, each of which may say so, or by events."""

    rules: ClassVar = (
        Rule(
            "has(self.cron) || has(self.interval) || has(self.at) || has(self.rrule) || has(self.events)",
            "give at least one of cron, interval, at, rrule and events",
        ),
        Rule(
            "!has(self.maxQueued) || has(self.onOverlap) && self.onOverlap == 'Queue'",
            "maxQueued is for onOverlap: Queue",
            ".maxQueued",
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
    events: Events | None = None
    """What creates a run besides the clock."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """IANA name of the zone in which all times without an offset are read, and ticks are shown. UTC if not given."""
    start_time: Moment | None = None
    """No tick is before it."""
    end_time: Moment | None = None
    """No tick is after it."""
    suspend: bool | None = None
    """Creates no new runs while true; those that run go on."""
    jitter: Duration | None = None
    """A run is created up to so long after its tick, never as late as the next one; how long follows from the tick."""
    on_missed: OnMissed | None = None
    """What becomes of ticks whose runs could not be created within a minute."""
    on_overlap: Literal["Allow", "Skip", "Queue", "Replace"] | None = None
    """What to do at a tick while an earlier run is not over. Allow: create the run (the default); Skip: don't; Queue:
    create it when the earlier one is over; Replace: delete the earlier one first."""
    max_queued: Annotated[int, Field(ge=1, le=MAX_QUEUED)] | None = None
    """How many ticks wait at most with Queue, the latest ones; 1 if not given."""
    history: History | None = None
    """How many of its runs that are over are kept."""
    run_template: RunTemplate
    """What each of its runs is made of."""


class MissedTick(ApiModel):
    """A tick that got no run."""

    tick_time: Time
    """The tick; of several at once, the last one."""
    reason: Annotated[str, Field(max_length=128)]
    """Why, in one word."""
    message: Annotated[str, Field(max_length=1024)]
    """Why, for people."""


class ScheduleStatus(ApiModel):
    """What became of a Schedule."""

    observed_generation: Count | None = None
    """Generation of the spec that this status is about."""
    conditions: Conditions | None = None
    """Ready: whether the Schedule creates runs. Listening: whether it hears of its events."""
    timing: Annotated[str, Field(max_length=128)] | None = None
    """Digest of the fields that say when it is due."""
    timing_since: Time | None = None
    """Since when they are in force: no tick before is made up for."""
    next_tick_times: Annotated[list[Time], Field(max_length=3), ATOMIC_LIST] | None = None
    """The next three ticks."""
    last_tick_time: Time | None = None
    """The last tick for which a run was created."""
    last_run: Annotated[str, Field(max_length=63)] | None = None
    """Name of that run."""
    last_success_time: Time | None = None
    """When a run of it last completed."""
    decided_tick_time: Time | None = None
    """Every tick up to this one has been dealt with: it got a run, waits in queued, or was missed."""
    queued: Annotated[list[Time], Field(max_length=MAX_QUEUED), ATOMIC_LIST] | None = None
    """Ticks that wait for an earlier run to be over, the oldest first."""
    active_runs: Count | None = None
    """Number of its runs that are not over."""
    active: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=50), ATOMIC_LIST] | None = None
    """Names of the first fifty of them."""
    missed_ticks: Count | None = None
    """Number of ticks that got no run, about."""
    last_missed: MissedTick | None = None
    """The last of them, and why."""
    events: Annotated[dict[str, EventStatus], Field(max_length=64)] | None = None
    """What became of its events, by their names: a map, so that each replica can write of one event alone."""
