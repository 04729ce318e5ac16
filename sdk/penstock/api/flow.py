"""The Flow: a graph of tasks with parameters."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from penstock.api.base import (
    ApiModel,
    Count,
    DnsName,
    Duration,
    DurationOrNever,
    Expression,
    Identifier,
    Image,
    JsonValue,
    ObjectName,
    Percentage,
    PodPart,
    Quantity,
    ShortText,
    TaskName,
    Text,
    Time,
    UserName,
)
from penstock.api.condition import Conditions
from penstock.api.marker import ATOMIC_LIST, ATOMIC_MAP, SET, Rule, map_list

MAX_TASKS: Final = 5000
MAX_FINALLY: Final = 100
MAX_PARAMS: Final = 128
MAX_ITEMS: Final = 100_000
MAX_OUTPUTS: Final = 256
MAX_RESOURCES: Final = 32
MAX_EXIT_CODES: Final = 64
MAX_APPROVERS: Final = 64

FinalTaskState = Literal["Completed", "Cached", "Skipped", "Failed", "TimedOut", "Cancelled", "Crashed"]
Tolerance = Annotated[int, Field(ge=0, le=MAX_ITEMS)] | Percentage
"""How many may fail: a number, or a percentage of all."""
Workload = Literal["Pod", "Job"]
OutputsFormat = Literal["Text", "JSON"]
Values = Annotated[dict[str, JsonValue], Field(max_length=MAX_PARAMS)]
"""Values of params, by name."""
ParamType = Literal["string", "integer", "number", "boolean", "array", "object"]


class Param(ApiModel):
    """A parameter of the Flow, whose value each run sets."""

    name: Identifier
    """Name; expressions use it as `$(params.NAME)`."""
    type: ParamType = "string"
    """Type of its values; string if not given."""
    description: ShortText | None = None
    """What it is for."""
    default: JsonValue = None
    """Value if a run sets none. A param without a default is required, unless `required` is false."""
    required: bool | None = None
    """Whether a run must set a param that has no default. If false and not set, it has no value:
    `$(params.?NAME.orValue(""))`. True if not given."""
    enum: Annotated[list[JsonValue], Field(min_length=1, max_length=256), ATOMIC_LIST] | None = None
    """The allowed values."""
    pattern: ShortText | None = None
    """Regular expression (RE2) that must match some part of a string."""
    minimum: int | None = None
    """Minimum of a number."""
    maximum: int | None = None
    """Maximum of a number."""

    @property
    def is_required(self) -> bool:
        """Whether a run must give it."""
        # The API server drops a null, so null must mean the same here: not given.
        return self.default is None and self.required is not False


class Retry(ApiModel):
    """How often and when a failed task is retried."""

    limit: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Extra attempts after failures of the task itself: exit codes, timeouts, out of memory. 0 if not given."""
    infrastructure: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Extra attempts after infrastructure failures: eviction, preemption, node loss, Pod deletion. 5 if not given."""
    delay: Duration | None = None
    """Delay before the first retry. No delay if not given."""
    factor: Annotated[int, Field(ge=1, le=100)] | None = None
    """Factor by which each further delay grows. 1 if not given."""
    max_delay: Duration | None = None
    """Longest delay. 1h if not given."""
    jitter: Percentage | None = None
    """Random part of the delay, added or subtracted, so that tasks do not retry at the same moment."""
    when: Expression | None = None
    """CEL expression over `failure.reason`, `.exitCode`, `.message` and `.attempt`. If it is false, a failure of the
    task itself is not retried."""
    non_retryable_exit_codes: (
        Annotated[list[Annotated[int, Field(ge=1, le=255)]], Field(max_length=MAX_EXIT_CODES), SET] | None
    ) = None
    """Exit codes after which the task is not retried."""
    node_lost_after: DurationOrNever | None = None
    """How long a deleted Pod may exist after its grace period. Then its node counts as lost, and the task is retried.
    10m if not given. Never: wait until the Pod is gone."""


class EnvVar(ApiModel):
    """An environment variable of the task's container."""

    rules: ClassVar = (
        Rule(
            # dyn: the content of valueFrom has no schema, so the rule's compiler does not know the field.
            "!has(self.value) || !has(dyn(self).valueFrom)",
            "an environment variable has either value or valueFrom: remove one of them",
        ),
    )

    name: Annotated[str, Field(min_length=1, max_length=256)]
    """Name of the variable."""
    value: Text | None = None
    """Value; `$(...)` expressions are evaluated."""
    value_from: PodPart | None = None
    """Source of the value, as in a Pod: secretKeyRef, configMapKeyRef, fieldRef, resourceFieldRef."""


EnvVars = Annotated[list[EnvVar], Field(max_length=256), map_list("name")]


class Resources(ApiModel):
    """Compute resources of the task's container, as in a Pod."""

    requests: Annotated[dict[str, Quantity], Field(max_length=MAX_RESOURCES)] | None = None
    """Resources that are reserved."""
    limits: Annotated[dict[str, Quantity], Field(max_length=MAX_RESOURCES)] | None = None
    """Resources that must not be exceeded."""


class TaskDefaults(ApiModel):
    """Defaults of all container tasks."""

    image: Image | None = None
    """Container image."""
    env: EnvVars | None = None
    """Environment variables in addition to those of the task, which override variables of the same name."""
    resources: Resources | None = None
    """Compute resources."""
    service_account_name: DnsName | None = None
    """Service account of the Pod. Without one the Pod gets no API token."""
    retry: Retry | None = None
    """How failed attempts are retried; fields that a task sets override these."""
    timeout: Duration | None = None
    """Longest time of one attempt, from the start of its container."""
    queue_timeout: Duration | None = None
    """Longest time that an attempt may wait for its container to start: for a quota, a node or an image. If not given:
    1h on a node (image, mount, sandbox, missing Secret or ConfigMap), 24h for a node or a claim's volume, and no limit
    for quotas, queues and the cache. `0s` for no limit at all."""
    deadline: Duration | None = None
    """Longest time of all attempts together, from the creation of the first one."""
    workload: Workload | None = None
    """What runs an attempt: a Pod, or a Job with one Pod. Pod if not given."""
    log_tail: bool | None = None
    """Whether the end of a failed container's log becomes the message. True if not given."""
    pod_template: PodPart | None = None
    """Strategic-merge patch of the generated Pod (metadata and spec), applied before that of the task."""


class ForEach(ApiModel):
    """Runs the task once for each item: give exactly one of items, count and matrix."""

    rules: ClassVar = (
        Rule(
            "[has(dyn(self).items), has(self.count), has(dyn(self).matrix)].exists_one(given, given)",
            "give exactly one of items, count and matrix",
        ),
    )

    items: JsonValue = None
    """The items: a list, or one expression `$(...)` whose value is a list."""
    count: Count | Expression | None = None
    """Number of items, 0 to count-1: a number, or one expression `$(...)` whose value is a whole number."""
    matrix: Annotated[dict[str, JsonValue], Field(min_length=1, max_length=16)] | None = None
    """All combinations of the axes' values. Each axis is a list or one expression; `$(item.AXIS)` is its value."""


class StateDependency(ApiModel):
    """Waits until a task has finished, and requires one of the given states."""

    task: TaskName
    """Name of the task to wait for."""
    states: Annotated[list[FinalTaskState], Field(min_length=1, max_length=7), SET]
    """Accepted final states. Failed covers TimedOut and Crashed, Completed covers Cached."""


class FlowCall(ApiModel):
    """Runs another Flow of the same namespace as a child."""

    name: ObjectName
    """Name of the Flow."""
    params: Annotated[Values, ATOMIC_MAP] | None = None
    """Values of its params; `$(...)` expressions are evaluated."""


class Approvers(ApiModel):
    """People who may decide about an approval: members of one of the groups, and the users."""

    rules: ClassVar = (
        Rule(
            "has(self.groups) || has(self.users)",
            "give at least one group or user: otherwise no user may decide",
        ),
    )

    groups: Annotated[list[UserName], Field(min_length=1, max_length=MAX_APPROVERS), SET] | None = None
    """Groups, as the API server knows them: kubectl auth whoami."""
    users: Annotated[list[UserName], Field(min_length=1, max_length=MAX_APPROVERS), SET] | None = None
    """Users, likewise; a service account is `system:serviceaccount:NAMESPACE:NAME`."""


class Approval(ApiModel):
    """Waits for a person, who decides in the run's `spec.approvals`. No Pod is created."""

    message: Text | None = None
    """The question; `$(...)` expressions are evaluated."""
    timeout: Duration | None = None
    """Longest time to wait; then the task is TimedOut. No limit if not given."""
    approvers: Approvers | None = None
    """Who may decide. Anyone who may change the run if not given."""


class Cache(ApiModel):
    """Reuses the outputs of an earlier attempt of the same task with the same key."""

    key: Annotated[str, Field(min_length=1, max_length=4096)]
    """What the outputs depend on; `$(...)` expressions are evaluated. The Flow's name and the definition of the task
    are always part of the key."""
    ttl: Duration | None = None
    """How long outputs may be reused. 24h if not given."""


class TaskOutputs(ApiModel):
    """Where a container that does not know Penstock leaves its outputs."""

    file: Annotated[str, Field(min_length=1, max_length=1024)]
    """Path of the file that the container writes, absolute. It becomes the container's termination message: at most
    4,095 bytes. Expressions are not evaluated here."""
    format: OutputsFormat | None = None
    """What the file contains. Text: any text; it becomes `outputs.text`, without the line breaks at its end. JSON: an
    object, which becomes the outputs. Text if not given."""


class Task(ApiModel):
    """One step of the Flow: a container, a child flow, or an approval."""

    rules: ClassVar = (
        Rule("!has(self.command) || !has(self.script)", "a task has either command or script: remove one of them"),
        Rule(
            "[has(self.image) || has(self.command) || has(self.args) || has(self.script), has(self.flow), "
            "has(self.approval)].filter(given, given).size() <= 1",
            "a task is a container, a child flow or an approval: give only one of them",
        ),
        Rule(
            "!has(self.maxParallel) || has(self.forEach)",
            "maxParallel requires forEach: add forEach, or remove maxParallel",
            ".maxParallel",
        ),
    )

    name: TaskName
    """Name of the task, unique in the Flow."""
    description: ShortText | None = None
    """What it does."""
    image: Image | None = None
    """Container image; `defaults.image` if not given."""
    command: Annotated[list[Text], Field(min_length=1, max_length=256), ATOMIC_LIST] | None = None
    """Entry point. Expressions are not evaluated here: pass values in args or env."""
    args: Annotated[list[Text], Field(max_length=1024), ATOMIC_LIST] | None = None
    """Arguments; `$(...)` expressions are evaluated."""
    script: Annotated[str, Field(min_length=1, max_length=262144)] | None = None
    """A script instead of a command, run by the interpreter in its first line (`#!/bin/sh` if it names none).
    Expressions are not evaluated here: pass values in args or env."""
    env: EnvVars | None = None
    """Environment variables."""
    resources: Resources | None = None
    """Compute resources."""
    service_account_name: DnsName | None = None
    """Service account of the Pod. Without one the Pod gets no API token."""
    flow: FlowCall | None = None
    """Runs another Flow instead of a container."""
    approval: Approval | None = None
    """Waits for a person instead of running a container."""
    depends_on: Annotated[list[TaskName], Field(max_length=MAX_TASKS), SET] | None = None
    """Tasks that must complete before this one starts. A reference to `tasks.x.outputs` adds x."""
    depends_on_states: Annotated[list[StateDependency], Field(max_length=256), map_list("task")] | None = None
    """Tasks that must finish before this one starts, each in one of the given states."""
    when: Expression | None = None
    """CEL expression; if it is false, the task is Skipped."""
    for_each: ForEach | None = None
    """Runs the task once for each item, at most maxParallel at once."""
    max_parallel: Annotated[int, Field(ge=1, le=2000)] | None = None
    """Most items that run at once. 2000 if not given."""
    allow_failed: Tolerance | None = None
    """Failures that do not fail the run. Of a fan-out: the number or percentage of items that may fail. Of any other
    task: 1 tolerates its failure. 0 if not given."""
    retry: Retry | None = None
    """How failed attempts are retried."""
    timeout: Duration | None = None
    """Longest time of one attempt, from the start of its container; of a child flow, from that of its first task."""
    queue_timeout: Duration | None = None
    """Longest time that an attempt may wait for its container to start: for a quota, a node or an image. If not given:
    1h on a node (image, mount, sandbox, missing Secret or ConfigMap), 24h for a node or a claim's volume, and no limit
    for quotas, queues and the cache. `0s` for no limit at all."""
    deadline: Duration | None = None
    """Longest time of all attempts together, from the creation of the first one."""
    workload: Workload | None = None
    """What runs an attempt: a Pod, or a Job with one Pod. Pod if not given."""
    cache: Cache | None = None
    """Reuses the outputs of an earlier attempt of the same task with the same key."""
    outputs: TaskOutputs | None = None
    """Reads the outputs from a file of its own, in place of the one that `$PENSTOCK_OUTPUTS` names."""
    log_tail: bool | None = None
    """Whether the end of a failed container's log becomes the message. True if not given."""
    pod_template: PodPart | None = None
    """Strategic-merge patch of the generated Pod (metadata and spec); `$(...)` expressions in its strings are
    evaluated."""


class Workspace(ApiModel):
    """A PersistentVolumeClaim of the run, mounted into each of its containers. It is deleted with the run."""

    size: Quantity
    """Size of the volume: `1Gi`."""
    mount_path: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Path in the containers. /workspace if not given."""
    storage_class_name: Annotated[str, Field(max_length=253)] | None = None
    """Storage class; the cluster's default if not given."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] | None = None
    """Access mode. ReadWriteOnce if not given: tasks that run in parallel then share a node."""


class PodRetention(ApiModel):
    """How long the Pods of finished attempts and their logs are kept. As long as their run if not given."""

    completed: Duration | None = None
    """For attempts that succeeded."""
    failed: Duration | None = None
    """For all others."""


class Retention(ApiModel):
    """How long finished runs are kept that were named by a Schedule, a Backfill, a parent run or `generateName`."""

    completed: Duration | None = None
    """For runs that are Completed or Skipped."""
    failed: Duration | None = None
    """For all others."""


class Concurrency(ApiModel):
    """How many runs may be active at once, and what to do with further ones."""

    limit: Annotated[int, Field(ge=1, le=10000)]
    """Most runs that are active at once."""
    on_limit: Literal["Queue", "Skip", "Replace"] | None = None
    """What to do with a further run. Queue: it waits, ordered by priority, then age. Skip: it finishes as Skipped.
    Replace: the oldest run is cancelled, and the new one starts when that has finished. Queue if not given."""
    key: Annotated[str, Field(max_length=4096)] | None = None
    """Runs with the same key share the limit; expressions over `params` and `run` are evaluated. Without a key all runs
    share it."""


class InlineFlowSpec(ApiModel):
    """What a Flow does."""

    description: ShortText | None = None
    """What it is for."""
    params: Annotated[list[Param], Field(max_length=MAX_PARAMS), map_list("name")] | None = None
    """Parameters of its runs."""
    defaults: TaskDefaults | None = None
    """Defaults of all container tasks."""
    # Field managers own whole tasks: a record of the owner of every field would be larger than the spec itself.
    tasks: Annotated[list[Annotated[Task, ATOMIC_MAP]], Field(min_length=1, max_length=MAX_TASKS), map_list("name")]
    """The tasks. Only dependencies decide what runs when; the order is that of the status."""
    finally_: Annotated[
        list[Annotated[Task, ATOMIC_MAP]] | None, Field(alias="finally", max_length=MAX_FINALLY), map_list("name")
    ] = None
    """Tasks that run when all other tasks have finished, whatever their states, except after `shutdown: Terminate`.
    They can refer to the state of every task."""
    outputs: Annotated[dict[str, JsonValue], Field(max_length=MAX_OUTPUTS)] | None = None
    """Outputs of the run, from those of its tasks: `{rows: "$(tasks.load.outputs.rows)"}`."""
    timeout: Duration | None = None
    """Longest time of a run, from the creation of its first task. The clock is paused while the run is Paused."""
    finally_timeout: Duration | None = None
    """Longest time of the finally tasks together, from the end of the other tasks. No limit if not given."""
    failure_policy: Literal["Stop", "Continue"] | None = None
    """What happens to other tasks when one fails. Stop: nothing new starts. Continue: tasks that do not depend on it
    still run. Stop if not given."""
    workspace: Workspace | None = None
    """A volume that the run's tasks share."""
    pod_retention: PodRetention | None = None
    """How long the Pods of finished attempts are kept."""
    track_pods: bool | None = None
    """Whether Pods have a finalizer until their outcome is stored. Without it each task costs one write less, but a
    task whose Pod disappears first runs again. The operator's setting if not given."""


class FlowSpec(InlineFlowSpec):
    """What a Flow does, how many runs may be active, and how long they are kept."""

    concurrency: Concurrency | None = None
    """How many runs may be active at once. Changes also apply to runs that exist already."""
    retention: Retention | None = None
    """How long finished runs are kept. Changes also apply to runs that exist already."""
    expect_success_within: Duration | None = None
    """Longest time between two runs that complete: `26h` for a Flow that runs once a day. It changes no run; the
    condition `Overdue`, metrics and alerts use it. Nothing is expected if not given."""


class FlowStatus(ApiModel):
    """Observed state of a Flow."""

    observed_generation: Count | None = None
    """Generation of the spec that this status describes."""
    revision: DnsName | None = None
    """ConfigMap that stores the current spec for runs."""
    tasks: Count | None = None
    """Number of tasks."""
    last_success_time: Time | None = None
    """When a run of it last completed, to within ten seconds. Not set before the first one has."""
    conditions: Conditions | None = None
    """Ready: whether runs can start from it. Overdue: whether no run has succeeded for longer than
    `spec.expectSuccessWithin`; only if that is given."""
