"""The FlowRun: one execution of a Flow."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from penstock.api.base import ApiModel, Count, DnsName, Duration, JsonValue, ObjectName, TaskName, Time
from penstock.api.condition import Conditions
from penstock.api.flow import MAX_OUTPUTS, MAX_PARAMS, MAX_TASKS, FlowSpec
from penstock.api.marker import ATOMIC_LIST, ATOMIC_MAP, UNRULED_WHOLE, Rule

MAX_STATES: Final = 32

Reason = Annotated[str, Field(max_length=128)]
Message = Annotated[str, Field(max_length=32768)]
ExitCode = Annotated[int, Field(ge=-(2**31) + 1, le=2**31 - 1)]
Values = Annotated[dict[str, JsonValue], Field(max_length=MAX_PARAMS)]
"""Values of params, by name."""
Counts = Annotated[dict[str, Count], Field(max_length=MAX_STATES)]
"""Numbers, by state."""

Intervals = Annotated[str, Field(max_length=65536)]
"""Whole numbers, as intervals: `0-411,413`."""

RunState = Literal["Pending", "Running", "Completed", "Failed", "TimedOut", "Crashed"]
TaskState = Literal[
    "Pending",
    "Queued",
    "Running",
    "Retrying",
    "Completed",
    "Skipped",
    "Failed",
    "TimedOut",
    "Cancelled",
    "Crashed",
]


class FlowReference(ApiModel):
    """Names a Flow of the same namespace."""

    name: ObjectName
    """Name of the Flow."""


class FlowRunSpec(ApiModel):
    """What to run. Exactly one of flow and flowSpec."""

    rules: ClassVar = (Rule("has(self.flow) != has(self.flowSpec)", "give exactly one of flow and flowSpec"),)

    flow: FlowReference | None = None
    """The Flow to run."""
    flow_spec: Annotated[FlowSpec, UNRULED_WHOLE] | None = None
    """A whole Flow spec, for a run without a stored Flow."""
    params: Annotated[Values, ATOMIC_MAP] | None = None
    """Values of the Flow's params."""
    timeout: Duration | None = None
    """Longest time of this run; the Flow's if not given."""


class Attempt(ApiModel):
    """One attempt of a task that is over."""

    attempt: Count
    """Number of the attempt, from 1."""
    index: Count | None = None
    """Index of the item, in a fan-out."""
    reason: Reason | None = None
    """Why it failed."""
    message: Message | None = None
    """What it said, or what was said of it."""
    exit_code: ExitCode | None = None
    """Exit code of its container."""
    pod: DnsName | None = None
    """Name of its Pod."""
    start_time: Time | None = None
    """When its container started."""
    completion_time: Time | None = None
    """When it was over."""


class LiveItem(ApiModel):
    """An item of a fan-out that has started and is not over."""

    index: Count
    """Index of the item."""
    attempt: Count
    """Number of its current or last attempt."""
    state: TaskState | None = None
    """Its state; Pending if not given."""
    failures: Count | None = None
    """Attempts charged to retry.limit."""
    disruptions: Count | None = None
    """Attempts charged to retry.infrastructure."""
    start_time: Time | None = None
    """When the container of its current or last attempt started."""
    wake_time: Time | None = None
    """When its next attempt is due."""
    stopping: Reason | None = None
    """Why its Pod is being stopped."""


class Items(ApiModel):
    """The items of a fan-out: how many there are, and which are in what state."""

    total: Count
    """Number of items."""
    counts: Counts | None = None
    """Number of items in each state."""
    indexes: Annotated[dict[str, Intervals], Field(max_length=MAX_STATES)] | None = None
    """Indexes of the items that are over, by state, as intervals: `0-411,413`."""
    live: Annotated[list[LiveItem], Field(max_length=2000), ATOMIC_LIST] | None = None
    """Items that have started and are not over."""
    failed: Annotated[list[Attempt], Field(max_length=10), ATOMIC_LIST] | None = None
    """The last failures."""
    outputs_dropped: bool | None = None
    """True when the items' outputs were too many to gather."""


class TaskStatus(ApiModel):
    """What became of one task."""

    name: TaskName
    """Name of the task."""
    state: TaskState
    """The state in one word."""
    attempt: Count | None = None
    """Number of the current or last attempt, from 1."""
    failures: Count | None = None
    """Attempts charged to retry.limit."""
    disruptions: Count | None = None
    """Attempts charged to retry.infrastructure."""
    start_time: Time | None = None
    """When the container of the current or last attempt started; of a fan-out, that of the first item."""
    completion_time: Time | None = None
    """When the task was over."""
    reason: Reason | None = None
    """Why it is in this state, from the vocabulary of the reference."""
    message: Message | None = None
    """The same for people."""
    exit_code: ExitCode | None = None
    """Exit code of the last attempt."""
    pod: DnsName | None = None
    """Pod of the current or last attempt."""
    node: DnsName | None = None
    """Node of that Pod."""
    outputs: JsonValue = None
    """What the task gave out: an object, or for a fan-out the list of its items' objects."""
    wake_time: Time | None = None
    """When the next attempt is due."""
    stopping: Reason | None = None
    """Why its Pod is being stopped."""
    attempts: Annotated[list[Attempt], Field(max_length=10), ATOMIC_LIST] | None = None
    """The last attempts that failed."""
    items: Items | None = None
    """The items of a fan-out."""


class FlowRunStatus(ApiModel):
    """What became of a run."""

    state: RunState
    """The state in one word, for people; programs read the conditions."""
    reason: Reason | None = None
    """Why it is in this state."""
    message: Message | None = None
    """The same for people."""
    observed_generation: Count | None = None
    """Generation of the spec that this status is about."""
    conditions: Conditions | None = None
    """Succeeded (Unknown, True, False) and Finished (False, True)."""
    revision: DnsName | None = None
    """ConfigMap with the spec that this run began with and keeps."""
    params: Annotated[Values, ATOMIC_MAP] | None = None
    """Every param's value, defaults included."""
    counts: Counts | None = None
    """Number of tasks in each state."""
    progress: Annotated[str, Field(max_length=32)] | None = None
    """Tasks that are over, of all: `3/10`."""
    start_time: Time | None = None
    """When the first task was started."""
    completion_time: Time | None = None
    """When the run was over."""
    outputs: Annotated[dict[str, JsonValue], Field(max_length=MAX_OUTPUTS), ATOMIC_MAP] | None = None
    """The Flow's outputs."""
    epoch: Count | None = None
    """Transition of the leader's Lease under which this status was written."""
    engine: Count | None = None
    """Version of naming and hashing that the run began with."""
    tasks: Annotated[list[TaskStatus], Field(max_length=MAX_TASKS), ATOMIC_LIST] | None = None
    """Every task, in the order of the spec."""
