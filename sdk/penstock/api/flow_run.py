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
ITEMS_PATTERN: Final = r"^[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*$"

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
    """Refers to a Flow of the same namespace."""

    name: ObjectName
    """Name of the Flow."""


class RunReference(ApiModel):
    """Refers to a finished FlowRun of the same namespace, and says what of it runs again."""

    rules: ClassVar = (
        Rule("!has(self.items) || has(self.from)", "items requires from: the fan-out whose items run again", ".items"),
        Rule(
            "!has(self.items) || !has(self.restartCompleted) || !self.restartCompleted",
            "all items run again with restartCompleted: set only one of the two",
            ".items",
        ),
    )

    name: ObjectName
    """Name of the FlowRun."""
    revision: Literal["Same", "Latest"] | None = None
    """Which version of the Flow to run. Same: that of the earlier run. Latest: the current one. Same if not given."""
    from_: Annotated[TaskName | None, Field(alias="from")] = None
    """Name of a task that runs again, with all tasks that follow from it, also if they completed. If it is a fan-out
    that did not complete, its completed items are kept."""
    items: Annotated[str, Field(max_length=512, pattern=ITEMS_PATTERN)] | None = None
    """With from, for a fan-out: ascending indexes of completed items that run again, as in `3,7-9`. Its other completed
    items are kept; items that did not complete always run."""
    restart_completed: bool | None = None
    """If true, everything runs again, also what completed. With from: all items of that task, and all that follows from
    it."""


class ApprovalDecision(ApiModel):
    """A person's decision about an approval."""

    task: TaskName
    """Name of the task."""
    decision: Literal["Approve", "Reject"]
    """Approve: the task is Completed. Reject: the task is Failed."""
    comment: ShortText | None = None
    """Comment on the decision."""


class FlowRunSpec(ApiModel):
    """What to run: give exactly one of flow, flowSpec and retryOf."""

    rules: ClassVar = (
        Rule(
            "[has(self.flow), has(self.flowSpec), has(self.retryOf)].exists_one(given, given)",
            "give exactly one of flow, flowSpec and retryOf",
        ),
    )

    flow: FlowReference | None = None
    """The Flow to run."""
    flow_spec: Annotated[InlineFlowSpec, UNRULED_WHOLE] | None = None
    """A complete Flow spec, for a run without a stored Flow."""
    retry_of: RunReference | None = None
    """A finished run to retry, with its Flow and params. Completed tasks are kept, all others run."""
    params: Annotated[Values, ATOMIC_MAP] | None = None
    """Values of the Flow's params, at most 512 KiB as JSON. With retryOf: values that replace single ones of that run;
    each task that refers to a changed param runs again, and all that follow from it."""
    timeout: Duration | None = None
    """Longest time of this run; that of the Flow if not given."""
    scheduled_time: Time | None = None
    """Earliest start time."""
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] | None = None
    """Of the runs that wait for the same concurrency limit, the one with the highest priority starts first. 0 if not
    given."""
    suspend: bool | None = None
    """While true, nothing new starts: no task, no item, no retry. Running tasks continue."""
    shutdown: ShutdownMode | None = None
    """Ends the run early. Drain: nothing new starts, running tasks finish, then finally runs. Cancel: running tasks are
    stopped, then finally runs. Terminate: everything is stopped, finally tasks included."""
    approvals: Annotated[list[ApprovalDecision], Field(max_length=MAX_APPROVALS), map_list("task")] | None = None
    """Decisions about the run's approvals. Entries can be added, but not changed."""


class Attempt(ApiModel):
    """A finished attempt of a task."""

    attempt: Count
    """Number of the attempt, from 1."""
    index: Count | None = None
    """Index of the item, in a fan-out."""
    reason: Reason | None = None
    """Why it failed."""
    message: Message | None = None
    """Details: the end of its log, or the message of Kubernetes."""
    exit_code: ExitCode | None = None
    """Exit code of its container."""
    pod: DnsName | None = None
    """Name of its Pod."""
    start_time: Time | None = None
    """When its container started."""
    completion_time: Time | None = None
    """When it finished."""


class LiveItem(ApiModel):
    """An item of a fan-out that has started and has not finished."""

    index: Count
    """Index of the item."""
    attempt: Count
    """Number of its current or last attempt."""
    state: TaskState | None = None
    """Its state; Pending if not given."""
    failures: Count | None = None
    """Number of failures that count against retry.limit."""
    disruptions: Count | None = None
    """Number of failures that count against retry.infrastructure."""
    start_time: Time | None = None
    """When the container of its current or last attempt started."""
    wake_time: Time | None = None
    """When its next attempt is due."""
    queue_time: Time | None = None
    """When its current attempt began to wait; set with queueTimeout only."""
    begin_time: Time | None = None
    """When its first attempt was created; set with deadline only."""
    stopping: Reason | None = None
    """Why its Pod is being stopped."""


class Items(ApiModel):
    """The items of a fan-out: their number and their states."""

    total: Count
    """Number of items."""
    counts: Counts | None = None
    """Number of items in each state."""
    indexes: Annotated[dict[str, Intervals], Field(max_length=MAX_STATES)] | None = None
    """Indexes of the finished items by state, as intervals: `0-411,413`."""
    live: Annotated[list[LiveItem], Field(max_length=2000), ATOMIC_LIST] | None = None
    """Items that have started and have not finished."""
    failed: Annotated[list[Attempt], Field(max_length=10), ATOMIC_LIST] | None = None
    """The most recent failures."""
    outputs_dropped: bool | None = None
    """True if the items' outputs were too large to collect."""


class TaskStatus(ApiModel):
    """Observed state of one task."""

    name: TaskName
    """Name of the task."""
    state: TaskState
    """The state in one word."""
    attempt: Count | None = None
    """Number of the current or last attempt, from 1."""
    failures: Count | None = None
    """Number of failures that count against retry.limit."""
    disruptions: Count | None = None
    """Number of failures that count against retry.infrastructure."""
    start_time: Time | None = None
    """When the container of the current or last attempt started; of a fan-out, that of the first item."""
    completion_time: Time | None = None
    """When the task finished."""
    reason: Reason | None = None
    """Why it is in this state: one of the reasons in the reference."""
    message: Message | None = None
    """Explanation of the state for people."""
    exit_code: ExitCode | None = None
    """Exit code of the last attempt."""
    pod: DnsName | None = None
    """Pod of the current or last attempt."""
    node: DnsName | None = None
    """Node of that Pod."""
    run: DnsName | None = None
    """The child FlowRun of the current or last attempt; of a Cached task, the run that produced its outputs."""
    is_finally: Annotated[bool | None, Field(alias="finally")] = None
    """True for a finally task."""
    outputs: JsonValue = None
    """Outputs of the task: an object, or for a fan-out the list of its items' objects."""
    wake_time: Time | None = None
    """When the next attempt is due."""
    queue_time: Time | None = None
    """When the current attempt began to wait; set with queueTimeout only."""
    begin_time: Time | None = None
    """When the first attempt was created; set with deadline only."""
    stopping: Reason | None = None
    """Why its Pod is being stopped."""
    attempts: Annotated[list[Attempt], Field(max_length=10), ATOMIC_LIST] | None = None
    """The most recent failed attempts."""
    items: Items | None = None
    """The items of a fan-out."""


class Shutdown(ApiModel):
    """How and why the run is being ended early."""

    mode: ShutdownMode
    """As in spec.shutdown."""
    reason: Reason
    """Why; also the reason of the tasks that are stopped."""
    message: Message | None = None
    """Explanation for people."""


class Ancestor(ApiModel):
    """The run that this one retries."""

    name: ObjectName
    """Its name."""
    uid: Annotated[str, Field(max_length=64)]
    """Its uid."""
    lineage: Annotated[list[ObjectName], Field(max_length=MAX_LINEAGE), ATOMIC_LIST] | None = None
    """The runs that it retried itself, oldest first."""


class FlowRunStatus(ApiModel):
    """Observed state of a run."""

    state: RunState
    """The state in one word, for people; programs read the conditions."""
    reason: Reason | None = None
    """Why it is in this state."""
    message: Message | None = None
    """Explanation of the state for people."""
    observed_generation: Count | None = None
    """Generation of the spec that this status describes."""
    conditions: Conditions | None = None
    """Succeeded (Unknown, True, False) and Finished (False, True)."""
    revision: DnsName | None = None
    """ConfigMap with the Flow spec that this run uses from start to end."""
    params: Annotated[Values, ATOMIC_MAP] | None = None
    """Values of all params, defaults included."""
    counts: Counts | None = None
    """Number of tasks in each state."""
    failed_tasks: Count | None = None
    """Number of tasks that are Failed, TimedOut, Cancelled or Crashed; missing for none."""
    failed_task: TaskName | None = None
    """Name of the first task, in the order of the spec, that is Failed, TimedOut or Crashed."""
    progress: Annotated[str, Field(max_length=32)] | None = None
    """Finished tasks out of all tasks: `3/10`."""
    start_time: Time | None = None
    """When the first task was started."""
    completion_time: Time | None = None
    """When the run finished."""
    outputs: Annotated[dict[str, JsonValue], Field(max_length=MAX_OUTPUTS), ATOMIC_MAP] | None = None
    """The Flow's outputs."""
    shutdown: Shutdown | None = None
    """How the run is being ended early."""
    paused_since: Time | None = None
    """When the run was paused, which also paused its timeout."""
    paused_milliseconds: Count | None = None
    """Total time of earlier pauses."""
    queue_position: Count | None = None
    """Position among the runs that wait for the Flow's concurrency limit, from 1."""
    retry_of: Ancestor | None = None
    """The run that this one retries."""
    epoch: Count | None = None
    """Internal: number of leader changes (the Lease's transitions) when this status was written."""
    engine: Count | None = None
    """Internal: version of the rules for names and hashes that this run uses."""
    tasks: Annotated[list[TaskStatus], Field(max_length=MAX_TASKS + MAX_FINALLY), ATOMIC_LIST] | None = None
    """All tasks, in the order of the spec; finally tasks last."""
