"""The FlowRun: one execution of a Flow."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from penstock.api.base import ApiModel, Duration, JsonValue, ObjectName, TaskName
from penstock.api.condition import Condition
from penstock.api.flow import MAX_TASKS, FlowSpec

Time = Annotated[str, Field(max_length=32, json_schema_extra={"format": "date-time"})]
Reason = Annotated[str, Field(max_length=128)]
Message = Annotated[str, Field(max_length=32768)]

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

    flow: FlowReference | None = None
    """The Flow to run."""
    flow_spec: FlowSpec | None = None
    """A whole Flow spec, for a run without a stored Flow."""
    params: dict[str, JsonValue] | None = None
    """Values of the Flow's params."""
    timeout: Duration | None = None
    """Longest time of this run; the Flow's if not given."""


class Attempt(ApiModel):
    """One attempt of a task that is over."""

    attempt: int
    """Number of the attempt, from 1."""
    index: int | None = None
    """Index of the item, in a fan-out."""
    reason: Reason | None = None
    """Why it failed."""
    message: Message | None = None
    """What it said, or what was said of it."""
    exit_code: int | None = None
    """Exit code of its container."""
    pod: Annotated[str, Field(max_length=253)] | None = None
    """Name of its Pod."""
    start_time: Time | None = None
    """When its container started."""
    completion_time: Time | None = None
    """When it was over."""


class LiveItem(ApiModel):
    """An item of a fan-out that has started and is not over."""

    index: int
    """Index of the item."""
    attempt: int
    """Number of its current or last attempt."""
    failures: int | None = None
    """Attempts charged to retry.limit."""
    disruptions: int | None = None
    """Attempts charged to retry.infrastructure."""
    wake_time: Time | None = None
    """When its next attempt is due."""
    stopping: Reason | None = None
    """Why its Pod is being stopped."""


class Items(ApiModel):
    """The items of a fan-out: how many there are, and which are in what state."""

    total: int
    """Number of items."""
    counts: dict[str, int] | None = None
    """Number of items in each state."""
    indexes: dict[str, Annotated[str, Field(max_length=65536)]] | None = None
    """Indexes of the items that are over, by state, as intervals: `0-411,413`."""
    live: Annotated[list[LiveItem], Field(max_length=2000)] | None = None
    """Items that have started and are not over."""
    failed: Annotated[list[Attempt], Field(max_length=10)] | None = None
    """The last failures."""


class TaskStatus(ApiModel):
    """What became of one task."""

    name: TaskName
    """Name of the task."""
    state: TaskState
    """The state in one word."""
    attempt: int | None = None
    """Number of the current or last attempt, from 1."""
    failures: int | None = None
    """Attempts charged to retry.limit."""
    disruptions: int | None = None
    """Attempts charged to retry.infrastructure."""
    start_time: Time | None = None
    """When the container of the first attempt started."""
    completion_time: Time | None = None
    """When the task was over."""
    reason: Reason | None = None
    """Why it is in this state, from the vocabulary of the reference."""
    message: Message | None = None
    """The same for people."""
    exit_code: int | None = None
    """Exit code of the last attempt."""
    pod: Annotated[str, Field(max_length=253)] | None = None
    """Pod of the current or last attempt."""
    node: Annotated[str, Field(max_length=253)] | None = None
    """Node of that Pod."""
    outputs: JsonValue = None
    """What the task gave out: an object, or for a fan-out the list of its items' objects."""
    wake_time: Time | None = None
    """When the next attempt is due."""
    stopping: Reason | None = None
    """Why its Pod is being stopped."""
    attempts: Annotated[list[Attempt], Field(max_length=10)] | None = None
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
    observed_generation: int | None = None
    """Generation of the spec that this status is about."""
    conditions: Annotated[list[Condition], Field(max_length=16)] | None = None
    """Succeeded (Unknown, True, False) and Finished (False, True)."""
    revision: Annotated[str, Field(max_length=253)] | None = None
    """ConfigMap with the spec that this run began with and keeps."""
    params: dict[str, JsonValue] | None = None
    """Every param's value, defaults included."""
    counts: dict[str, int] | None = None
    """Number of tasks in each state."""
    progress: Annotated[str, Field(max_length=32)] | None = None
    """Tasks that are over, of all: `3/10`."""
    start_time: Time | None = None
    """When the first task was started."""
    completion_time: Time | None = None
    """When the run was over."""
    outputs: dict[str, Any] | None = None
    """The Flow's outputs."""
    epoch: int | None = None
    """Transition of the leader's Lease under which this status was written."""
    engine: int | None = None
    """Version of naming and hashing that the run began with."""
    tasks: Annotated[list[TaskStatus], Field(max_length=MAX_TASKS)] | None = None
    """Every task, in the order of the spec."""
