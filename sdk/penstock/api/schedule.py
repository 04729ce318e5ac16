"""The Schedule: creates FlowRuns by the clock and by events."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field

from penstock.api.base import MAX_LABELS, ApiModel, Count, Duration, Time, check_year
from penstock.api.condition import Conditions
from penstock.api.event import Events, EventStatus
from penstock.api.flow_run import FlowRunSpec
from penstock.api.marker import ATOMIC_LIST, Rule

MAX_MISSED: Final = 1000
MAX_QUEUED: Final = 100
MAX_HISTORY: Final = 1000

Label = Annotated[str, Field(max_length=63)]
Annotation = Annotated[str, Field(max_length=16384)]
MOMENT_PATTERN: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?$"
)
Moment = Annotated[str, Field(max_length=40, pattern=MOMENT_PATTERN), AfterValidator(check_year)]
"""A time with an offset, a local time in the Schedule's zone, or a date (midnight)."""
RecurrenceRule = Annotated[str, Field(min_length=1, max_length=1024)]
CronExpression = Annotated[str, Field(min_length=1, max_length=256)]


class RunMetadata(ApiModel):
    """Metadata of the runs."""

    labels: Annotated[dict[str, Label], Field(max_length=MAX_LABELS)] | None = None
    """Labels of each run."""
    annotations: Annotated[dict[str, Annotation], Field(max_length=MAX_LABELS)] | None = None
    """Annotations of each run."""


class RunTemplate(ApiModel):
    """Metadata and spec of the runs."""

    metadata: RunMetadata | None = None
    """Labels and annotations of each run."""
    spec: FlowRunSpec
    """Spec of each run. Expressions in params can use `tick` (runs by the clock) or `event` (runs by an event)."""


class Interval(ApiModel):
    """Ticks at equal intervals."""

    every: Duration
    """The interval, in whole minutes of elapsed time: the local hour shifts with daylight saving time."""
    anchor: Moment | None = None
    """A tick, past or future, from which the others are counted. 1970-01-01T00:00:00Z if not given."""


class OnMissed(ApiModel):
    """What to do with ticks whose run could not be created within a minute (no operator, or the API server refused)."""

    policy: Literal["Skip", "Latest", "All"] | None = None
    """Missed ticks that get a late run. Skip: none. Latest: the last one (the default). All: each, oldest first."""
    within: Duration | None = None
    """How late a run may be created. No limit if not given."""
    max: Annotated[int, Field(ge=1, le=MAX_MISSED)] | None = None
    """With All: most late runs, for the latest ticks. 100 if not given."""


class History(ApiModel):
    """How many finished runs are kept; older ones are deleted."""

    completed: Annotated[int, Field(ge=0, le=MAX_HISTORY)] | None = None
    """Number of completed runs to keep. 3 if not given."""
    failed: Annotated[int, Field(ge=0, le=MAX_HISTORY)] | None = None
    """Number of other finished runs to keep, and of runs that ended without having run. 3 of each if not given."""


class ScheduleSpec(ApiModel):
    """When to run what: at the ticks of cron, interval, at and rrule combined, and by events."""

    rules: ClassVar = (
        Rule(
            "has(self.cron) || has(self.interval) || has(self.at) || has(self.rrule) || has(self.events)",
            "give at least one of cron, interval, at, rrule and events",
        ),
        Rule(
            "!has(self.maxQueued) || has(self.onOverlap) && self.onOverlap == 'Queue'",
            "maxQueued requires onOverlap: Queue",
            ".maxQueued",
        ),
    )

    cron: Annotated[list[CronExpression], Field(min_length=1, max_length=32), ATOMIC_LIST] | None = None
    """Cron expressions of five fields, or @hourly, @daily, @weekly, @monthly, @yearly."""
    interval: Interval | None = None
    """Ticks at equal intervals."""
    at: Annotated[list[Moment], Field(min_length=1, max_length=1000), ATOMIC_LIST] | None = None
    """Dates and times, in whole minutes."""
    rrule: Annotated[list[RecurrenceRule], Field(min_length=1, max_length=32), ATOMIC_LIST] | None = None
    """Recurrence rules of RFC 5545, such as FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18; a line before it may give DTSTART."""
    events: Events | None = None
    """Events that create runs."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """IANA name of the time zone for all times without an offset. UTC if not given."""
    start_time: Moment | None = None
    """There are no ticks before this time."""
    end_time: Moment | None = None
    """There are no ticks after this time."""
    suspend: bool | None = None
    """While true, no runs are created; active runs continue."""
    jitter: Duration | None = None
    """Longest delay between a tick and the creation of its run. The delay is derived from the tick, and is shorter than
    the time to the next tick."""
    on_missed: OnMissed | None = None
    """What to do with ticks whose run could not be created within a minute."""
    on_overlap: Literal["Allow", "Skip", "Queue", "Replace"] | None = None
    """What to do at a tick while an earlier run is active. Allow: create the run (the default). Skip: do not. Queue:
    create it when the earlier run has finished. Replace: cancel the earlier run first."""
    max_queued: Annotated[int, Field(ge=1, le=MAX_QUEUED)] | None = None
    """With Queue: most ticks that wait; the latest ones stay. 1 if not given."""
    history: History | None = None
    """How many finished runs are kept."""
    on_delete: Literal["Orphan", "Delete"] | None = None
    """What happens to its runs when the Schedule is deleted. Orphan: they stay, active ones continue, and finished ones
    are kept as long as their Flow's `retention` says, or 168h (the default). Delete: they are deleted with it. A change
    also applies to runs that exist already."""
    run_template: RunTemplate
    """Template of the runs."""

    @property
    def owns_runs(self) -> bool:
        """Whether runs are deleted with the Schedule."""
        return self.on_delete == "Delete"


class MissedTick(ApiModel):
    """A tick that got no run."""

    tick_time: Time
    """The tick; if several were missed at once, the last one."""
    reason: Annotated[str, Field(max_length=128)]
    """Why it was missed, in one word."""
    message: Annotated[str, Field(max_length=1024)]
    """Why it was missed, for people."""


class ScheduleStatus(ApiModel):
    """Observed state of a Schedule."""

    observed_generation: Count | None = None
    """Generation of the spec that this status describes."""
    conditions: Conditions | None = None
    """Ready: whether the Schedule creates runs. Listening: whether its events are being watched."""
    timing: Annotated[str, Field(max_length=128)] | None = None
    """Internal: digest of the fields that define the ticks."""
    timing_since: Time | None = None
    """Internal: when these fields last changed. Earlier ticks never get a run."""
    next_tick_times: Annotated[list[Time], Field(max_length=3), ATOMIC_LIST] | None = None
    """The next three ticks."""
    last_tick_time: Time | None = None
    """The last tick for which a run was created."""
    last_run: Annotated[str, Field(max_length=63)] | None = None
    """Name of that run."""
    last_success_time: Time | None = None
    """When one of its runs last completed."""
    decided_tick_time: Time | None = None
    """Internal: every tick up to this one was handled: it got a run, waits in queued, or was missed."""
    queued: Annotated[list[Time], Field(max_length=MAX_QUEUED), ATOMIC_LIST] | None = None
    """Ticks that wait for an earlier run to finish, oldest first."""
    active_runs: Count | None = None
    """Number of its active runs."""
    active: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=50), ATOMIC_LIST] | None = None
    """Names of its first fifty active runs."""
    missed_ticks: Count | None = None
    """Approximate number of ticks that got no run."""
    last_missed: MissedTick | None = None
    """The last missed tick, and why."""
    not_run_ticks: Count | None = None
    """Approximate number of ticks whose run ended without having run: it was skipped by a concurrency limit, or
    cancelled while it waited."""
    last_not_run_time: Time | None = None
    """When the last of these runs ended."""
    # A map, so that each replica can patch the entry of one event.
    events: Annotated[dict[str, EventStatus], Field(max_length=64)] | None = None
    """State of its events, by name."""
