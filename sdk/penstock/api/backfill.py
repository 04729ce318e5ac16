"""The Backfill: makes up a Schedule's past."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from penstock.api.base import ApiModel, Count, ObjectName, Time
from penstock.api.condition import Conditions
from penstock.api.flowrun import Counts, Intervals, Message, Reason
from penstock.api.marker import Rule

MAX_TICKS: Final = 10_000
"""Ticks of one Backfill. Each is a run, which stays until somebody deletes it."""
MAX_ACTIVE: Final = 1000
DEFAULT_MAX_ACTIVE: Final = 1

Order = Literal["OldestFirst", "NewestFirst"]
Reprocess = Literal["None", "Failed", "All"]
BackfillState = Literal["Pending", "Running", "Completed", "Failed"]


class ScheduleReference(ApiModel):
    """Names a Schedule of the same namespace."""

    name: ObjectName
    """Name of the Schedule."""


class BackfillSpec(ApiModel):
    """Which ticks of which Schedule to make up, and how."""

    rules: ClassVar = (Rule("self.from < self.to", "from must be earlier than to", ".to"),)

    schedule: ScheduleReference
    """The Schedule: its ticks, and its template for the runs."""
    from_: Annotated[Time, Field(alias="from")]
    """The first time to make up."""
    to: Time
    """The time to stop before. Ticks after the Backfill was created are the Schedule's own and are left to it."""
    max_active: Annotated[int, Field(ge=1, le=MAX_ACTIVE)] | None = None
    """Runs of this Backfill that may be under way at once. 1 if not given."""
    order: Order | None = None
    """Which ticks come first. OldestFirst if not given."""
    reprocess: Reprocess | None = None
    """Ticks that have a run already: None leaves them, Failed repeats those whose last run did not complete, All
    repeats every one. None if not given. A tick whose run is under way never gets a second one beside it."""
    suspend: bool | None = None
    """Starts no further runs while true; those that run go on."""


class BackfillStatus(ApiModel):
    """What became of a Backfill."""

    state: BackfillState | None = None
    """The state in one word, for people; programs read the conditions."""
    reason: Reason | None = None
    """Why it is in this state."""
    message: Message | None = None
    """The same for people."""
    observed_generation: Count | None = None
    """Generation of the spec that this status is about."""
    conditions: Conditions | None = None
    """Succeeded (Unknown, True, False) and Finished (False, True)."""
    timing: Annotated[str, Field(max_length=262144)] | None = None
    """When the Schedule was due, as it said when this Backfill began: an edit does not move the ticks."""
    ticks: Count | None = None
    """Number of ticks."""
    progress: Annotated[str, Field(max_length=32)] | None = None
    """Ticks that are done with, of all: `13/31`."""
    counts: Counts | None = None
    """Number of ticks: Completed, Failed, Skipped (had a run), Deleted (somebody deleted its run), and Running."""
    started: Intervals | None = None
    """Ticks for which a run was created, by number from the oldest, as intervals: `0-411,413`."""
    settled: Annotated[dict[str, Intervals], Field(max_length=8)] | None = None
    """Ticks that are done with, by what became of them, as intervals."""
    start_time: Time | None = None
    """When the first run was created."""
    completion_time: Time | None = None
    """When the last tick was done with."""
