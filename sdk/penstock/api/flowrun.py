"""The FlowRun: one execution of a Flow."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from penstock.api.base import ApiModel, Count, DnsName, Duration, JsonValue, ObjectName, ShortText, TaskName, Time
from penstock.api.condition import Conditions
from penstock.api.flow import MAX_FINALLY, MAX_OUTPUTS, MAX_TASKS, InlineFlowSpec, Values
from penstock.api.marker import ATOMIC_LIST, ATOMIC_MAP, UNRULED_WHOLE, Rule, map_list

MAX_STATES: Final = 32
MAX_APPROVALS: Final = 256
MAX_LINEAGE: Final = 100
MAX_PRIORITY: Final = 1_000_000

Reason = Annotated[str, Field(max_length=128)]
Message = Annotated[str, Field(max_length=32768)]
ExitCode = Annotated[int, Field(ge=-(2**31) + 1, le=2**31 - 1)]
Counts = Annotated[dict[str, Count], Field(max_length=MAX_STATES)]
"""Numbers, by state."""

Intervals = Annotated[str, Field(max_length=65536)]
"""Whole numbers, as intervals: `0-411,413`."""

RunState = Literal[
    "Scheduled",
    "Pending",
    "Queued",
    "Running",
    "Paused",
    "Completed",
    "Skipped",
    "Failed",
    "TimedOut",
    "Cancelled",
    "Crashed",
]
TaskState = Literal[
    "Pending",
    "Queued",
    "Running",
    "Retrying",
    "Paused",
    "Completed",
    "Cached",
    "Skipped",
    "Failed",
    "TimedOut",
    "Cancelled",
    "Crashed",
]


ShutdownMode = Literal["Drain", "Cancel", "Terminate"]


class FlowReference(ApiModel):
    """Names a Flow of the same namespace."""

    name: ObjectName
    """Name of the Flow."""


class RunReference(ApiModel):
    """Names a FlowRun of the same namespace that is over."""

    name: ObjectName
    """Name of the FlowRun."""
    revision: Literal["Same", "Latest"] | None = None
    """Same: the Flow as that run had it. Latest: the Flow as it is now. Same if not given."""


class ApprovalDecision(ApiModel):
    """What a person decided about an approval."""

    task: TaskName
    """Name of the task."""
    decision: Literal["Approve", "Reject"]
    """Approve: the task is Completed. Reject: it is Failed."""
    comment: ShortText | None = None
    """Why."""


class FlowRunSpec(ApiModel):
    """What to run. Exactly one of flow, flowSpec and retryOf."""

    rules: ClassVar = (
        Rule(
            "[has(self.flow), has(self.flowSpec), has(self.retryOf)].exists_one(given, given)",
            "give exactly one of flow, flowSpec and retryOf",
        ),
        Rule(
            "!has(self.retryOf) || !has(dyn(self).params)",
            "a retry has the params of the run that it names: remove params",
            ".params",
        ),
    )

    flow: FlowReference | None = None
    """The Flow to run."""
    flow_spec: Annotated[InlineFlowSpec, UNRULED_WHOLE] | None = None
    """A whole Flow spec, for a run without a stored Flow."""
    retry_of: RunReference | None = None
    """A run that is over: its Flow and params are taken, what it completed is kept, the rest is run."""
    params: Annotated[Values, ATOMIC_MAP] | None = None
    """Values of the Flow's params."""
    timeout: Duration | None = None
    """Longest time of this run; the Flow's if not given."""
    scheduled_time: Time | None = None
    """The run starts no sooner."""
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] | None = None
    """Of runs that wait for the same concurrency limit the one of the highest priority is next. 0 if not given."""
    suspend: bool | None = None
    """While true nothing new is started: no task, no item, no retry. What runs goes on."""
    shutdown: ShutdownMode | None = None
    """Ends the run early. Drain: what runs goes on to its end, nothing new starts, then finally. Cancel: what runs is
    stopped, then finally. Terminate: everything is stopped, finally too."""
    approvals: Annotated[list[ApprovalDecision], Field(max_length=MAX_APPROVALS), map_list("task")] | None = None
    """What was decided about the run's approvals. Entries are added, never changed."""


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
    queue_time: Time | None = None
    """Since when its current attempt waits to start, where queueTimeout limits that."""
    begin_time: Time | None = None
    """When its first attempt was made, where deadline counts from then."""
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
    run: DnsName | None = None
    """The child FlowRun of the current or last attempt; of a Cached task, the run that its outputs come from."""
    is_finally: Annotated[bool | None, Field(alias="finally")] = None
    """True of a finally task."""
    outputs: JsonValue = None
    """What the task gave out: an object, or for a fan-out the list of its items' objects."""
    wake_time: Time | None = None
    """When the next attempt is due."""
    queue_time: Time | None = None
    """Since when the current attempt waits to start, where queueTimeout limits that."""
    begin_time: Time | None = None
    """When the first attempt was made, where deadline counts from then."""
    stopping: Reason | None = None
    """Why its Pod is being stopped."""
    attempts: Annotated[list[Attempt], Field(max_length=10), ATOMIC_LIST] | None = None
    """The last attempts that failed."""
    items: Items | None = None
    """The items of a fan-out."""


class Shutdown(ApiModel):
    """How the run is being ended early, and who decided so."""

    mode: ShutdownMode
    """As in spec.shutdown."""
    reason: Reason
    """Why: the reason of what is stopped."""
    message: Message | None = None
    """The same for people."""


class Ancestor(ApiModel):
    """The run that this one retries."""

    name: ObjectName
    """Its name."""
    uid: Annotated[str, Field(max_length=64)]
    """Its uid."""
    lineage: Annotated[list[ObjectName], Field(max_length=MAX_LINEAGE), ATOMIC_LIST] | None = None
    """The runs that it retried in its turn, the first one first."""


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
    shutdown: Shutdown | None = None
    """How the run is being ended early."""
    paused_since: Time | None = None
    """Since when the run is Paused: its timeout stands still."""
    paused_milliseconds: Count | None = None
    """How long it was Paused before."""
    queue_position: Count | None = None
    """Place among the runs that wait for the Flow's concurrency limit, from 1."""
    retry_of: Ancestor | None = None
    """The run that this one retries."""
    epoch: Count | None = None
    """Transition of the leader's Lease under which this status was written."""
    engine: Count | None = None
    """Version of naming and hashing that the run began with."""
    tasks: Annotated[list[TaskStatus], Field(max_length=MAX_TASKS + MAX_FINALLY), ATOMIC_LIST] | None = None
    """Every task, in the order of the spec, those of finally last."""
