"""The Backfill: runs a Schedule for a past period."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from penstock.api.base import ApiModel, Count, ObjectName, Time
from penstock.api.condition import Conditions
from penstock.api.flow_run import Counts, Intervals, Message, Reason
from penstock.api.marker import Rule

MAX_TICKS: Final = 10_000
"""Most ticks of one Backfill. Each is a run, which is kept until it is deleted."""
MAX_ACTIVE: Final = 1000
DEFAULT_MAX_ACTIVE: Final = 1

Order = Literal["OldestFirst", "NewestFirst"]
Reprocess = Literal["None", "Failed", "All"]
BackfillState = Literal["Pending", "Running", "Completed", "Failed"]


class ScheduleReference(ApiModel):
    """Refers to a Schedule of the same namespace."""

    name: ObjectName
    """Name of the Schedule."""


class BackfillSpec(ApiModel):
    """The period and the Schedule to run for it, and how."""

    rules: ClassVar = (Rule("self.from < self.to", "from must be earlier than to", ".to"),)

    schedule: ScheduleReference
    """The Schedule that defines the ticks and the template of the runs."""
    from_: Annotated[Time, Field(alias="from")]
    """Start of the period, inclusive."""
    to: Time
    """End of the period, exclusive. Ticks after the creation of the Backfill are left to the Schedule."""
    max_active: Annotated[int, Field(ge=1, le=MAX_ACTIVE)] | None = None
    """Most runs of this Backfill that are active at once. 1 if not given."""
    order: Order | None = None
    """Which ticks come first. OldestFirst if not given."""
    reprocess: Reprocess | None = None
    """What to do with ticks that already have a run. None: skip them. Failed: run those again whose last run did not
    complete, or was Skipped. All: run all again. None if not given. A tick never has two active runs."""
    suspend: bool | None = None
    """While true, no further runs start; active runs continue."""


class BackfillStatus(ApiModel):
    """Observed state of a Backfill."""

    state: BackfillState | None = None
    """The state in one word, for people; programs read the conditions."""
    reason: Reason | None = None
    """Why it is in this state."""
    message: Message | None = None
    """Explanation of the state for people."""
    observed_generation: Count | None = None
    """Generation of the spec that this status describes."""
    conditions: Conditions | None = None
    """Succeeded (Unknown, True, False) and Finished (False, True)."""
    timing: Annotated[str, Field(max_length=262144)] | None = None
    """Internal: timing fields of the Schedule when this Backfill started. Later edits do not move the ticks."""
    ticks: Count | None = None
    """Number of ticks."""
    progress: Annotated[str, Field(max_length=32)] | None = None
    """Finished ticks out of all ticks: `13/31`."""
    counts: Counts | None = None
    """Number of ticks: Completed, Failed, NotRun (its run was skipped by a concurrency limit, or cancelled while it
    waited), Skipped (already had a run), Deleted (its run was deleted), and Running."""
    started: Intervals | None = None
    """Internal: ticks that got a run, by number from the oldest, as intervals: `0-411,413`."""
    settled: Annotated[dict[str, Intervals], Field(max_length=8)] | None = None
    """Internal: finished ticks by outcome, as intervals."""
    start_time: Time | None = None
    """When the first run was created."""
    completion_time: Time | None = None
    """When the last tick finished."""
