"""The Flow: a parameterised graph of tasks."""

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

FinalTaskState = Literal["Completed", "Cached", "Skipped", "Failed", "TimedOut", "Cancelled", "Crashed"]
Tolerance = Annotated[int, Field(ge=0, le=MAX_ITEMS)] | Percentage
"""How many may fail: a number, or a part of all."""
Workload = Literal["Pod", "Job"]
Values = Annotated[dict[str, JsonValue], Field(max_length=MAX_PARAMS)]
"""Values of params, by name."""
ParamType = Literal["string", "integer", "number", "boolean", "array", "object"]


class Param(ApiModel):
    """A parameter of the Flow, given by each run."""

    name: Identifier
    """Name by which expressions refer to it: `$(params.NAME)`."""
    type: ParamType = "string"
    """Type of its values; string if not given."""
    description: ShortText | None = None
    """What it is for."""
    default: JsonValue = None
    """Value when a run gives none. A param without a default is required, unless it says otherwise."""
    required: bool | None = None
    """False: a run may leave it out although it has no default, and then it has no value:
    `$(params.?NAME.orValue(""))`. True if not given."""
    enum: Annotated[list[JsonValue], Field(min_length=1, max_length=256), ATOMIC_LIST] | None = None
    """The only values allowed."""
    pattern: ShortText | None = None
    """Regular expression (RE2) that a string must match somewhere."""
    minimum: int | None = None
    """Least value of a number."""
    maximum: int | None = None
    """Greatest value of a number."""

    @property
    def is_required(self) -> bool:
        """Whether a run must give it."""
        # The API server drops a null, so null must mean the same here: not given.
        return self.default is None and self.required is not False


class Retry(ApiModel):
    """How often and when a failed attempt is made again."""

    limit: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Further attempts after failures of the task itself: exit codes, timeouts, out of memory. 0 if not given."""
    infrastructure: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Further attempts after what was done to it: eviction, preemption, node loss, Pod deletion. 5 if not given."""
    delay: Duration | None = None
    """Wait before the first retry. None if not given."""
    factor: Annotated[int, Field(ge=1, le=100)] | None = None
    """Each further wait is this many times the one before. 1 if not given."""
    max_delay: Duration | None = None
    """Longest wait. 1h if not given."""
    jitter: Percentage | None = None
    """Part of the wait that is added or taken off, different for each task and attempt: retries don't meet."""
    when: Expression | None = None
    """CEL expression over `failure.reason`, `.exitCode`, `.message` and `.attempt`: when it is false after a failure of
    the task itself, that failure is final."""
    non_retryable_exit_codes: (
        Annotated[list[Annotated[int, Field(ge=1, le=255)]], Field(max_length=MAX_EXIT_CODES), SET] | None
    ) = None
    """Exit codes after which the task is not tried again."""
    node_lost_after: DurationOrNever | None = None
    """How long past its deletion grace a Pod may stay before its node counts as lost and the task is tried elsewhere.
    10m if not given; Never: until the Pod is gone."""


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
    """Its value; expressions in `$(...)` are replaced."""
    value_from: PodPart | None = None
    """Source of the value, as in a Pod: secretKeyRef, configMapKeyRef, fieldRef, resourceFieldRef."""


EnvVars = Annotated[list[EnvVar], Field(max_length=256), map_list("name")]


class Resources(ApiModel):
    """Compute resources of the task's container, as in a Pod."""

    requests: Annotated[dict[str, Quantity], Field(max_length=MAX_RESOURCES)] | None = None
    """What is reserved."""
    limits: Annotated[dict[str, Quantity], Field(max_length=MAX_RESOURCES)] | None = None
    """What may not be exceeded."""


class TaskDefaults(ApiModel):
    """What every container task uses that does not say otherwise."""

    image: Image | None = None
    """Container image."""
    env: EnvVars | None = None
    """Environment variables, added to the task's own; of the same name the task's wins."""
    resources: Resources | None = None
    """Compute resources."""
    service_account_name: DnsName | None = None
    """Service account of the Pod. Without one the Pod gets no API token."""
    retry: Retry | None = None
    """How failed attempts are made again; field by field, the task's own wins."""
    timeout: Duration | None = None
    """Longest time of one attempt, from its container's start."""
    queue_timeout: Duration | None = None
    """Longest time that an attempt may wait for its container to start: for a quota, a node, an image."""
    deadline: Duration | None = None
    """Longest time of all attempts together, from the first one's creation."""
    workload: Workload | None = None
    """What carries an attempt: a Pod, or a Job with one Pod. Pod if not given."""
    log_tail: bool | None = None
    """Whether the end of a failed container's log becomes the message. True if not given."""
    pod_template: PodPart | None = None
    """Strategic-merge patch over the generated Pod (metadata and spec), before the task's own."""


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
    """This many items, 0 to count-1: a number, or one expression `$(...)` whose value is a whole number."""
    matrix: Annotated[dict[str, JsonValue], Field(min_length=1, max_length=16)] | None = None
    """Every combination of the axes' values, each axis a list or one expression; `$(item.AXIS)` is its value."""


class StateDependency(ApiModel):
    """Waits until a task is over, and asks how it ended."""

    task: TaskName
    """The task that is waited for."""
    states: Annotated[list[FinalTaskState], Field(min_length=1, max_length=7), SET]
    """The states that satisfy. Failed covers TimedOut and Crashed, Completed covers Cached."""


class FlowCall(ApiModel):
    """Runs another Flow of the same namespace as a child."""

    name: ObjectName
    """Name of the Flow."""
    params: Annotated[Values, ATOMIC_MAP] | None = None
    """Values of its params; expressions in `$(...)` are replaced."""


class Approval(ApiModel):
    """Waits for a person, who decides by the run's `spec.approvals`. No Pod is made."""

    message: Text | None = None
    """What is asked; expressions in `$(...)` are replaced."""
    timeout: Duration | None = None
    """Longest time to wait; then the task is TimedOut. No limit if not given."""


class Cache(ApiModel):
    """Reuses the outputs of an earlier attempt of the same task with the same key."""

    key: Annotated[str, Field(min_length=1, max_length=4096)]
    """What the outputs depend on; expressions in `$(...)` are replaced. The Flow's name and what the task runs are part
    of the key without being named."""
    ttl: Duration | None = None
    """How long outputs may be reused. 24h if not given."""


class Task(ApiModel):
    """One step of the Flow: a container that runs to its end, a child flow, or an approval."""

    rules: ClassVar = (
        Rule("!has(self.command) || !has(self.script)", "a task has either command or script: remove one of them"),
        Rule(
            "[has(self.image) || has(self.command) || has(self.args) || has(self.script), has(self.flow), "
            "has(self.approval)].filter(given, given).size() <= 1",
            "a task is a container, a child flow or an approval: give only one of them",
        ),
        Rule(
            "!has(self.maxParallel) || has(self.forEach)",
            "maxParallel is for a task with forEach: add forEach, or remove it",
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
    """Entry point. Never expanded: values reach code by args, environment or files."""
    args: Annotated[list[Text], Field(max_length=1024), ATOMIC_LIST] | None = None
    """Arguments; expressions in `$(...)` are replaced."""
    script: Annotated[str, Field(min_length=1, max_length=262144)] | None = None
    """A script in place of a command, run by what its first line names (`#!/bin/sh` if none). Never expanded."""
    env: EnvVars | None = None
    """Environment variables."""
    resources: Resources | None = None
    """Compute resources."""
    service_account_name: DnsName | None = None
    """Service account of the Pod. Without one the Pod gets no API token."""
    flow: FlowCall | None = None
    """Runs another Flow in place of a container."""
    approval: Approval | None = None
    """Waits for a person in place of a container."""
    depends_on: Annotated[list[TaskName], Field(max_length=MAX_TASKS), SET] | None = None
    """Tasks that must have completed first. Referring to `tasks.x.outputs` says the same of x."""
    depends_on_states: Annotated[list[StateDependency], Field(max_length=256), map_list("task")] | None = None
    """Tasks that must be over first, each in one of the states named."""
    when: Expression | None = None
    """CEL expression; when it is false the task is Skipped."""
    for_each: ForEach | None = None
    """Runs the task once for each item, as many at once as maxParallel allows."""
    max_parallel: Annotated[int, Field(ge=1, le=2000)] | None = None
    """Items that run at once. 2000 if not given."""
    allow_failed: Tolerance | None = None
    """Failures that don't fail the run: of a fan-out, the number or the percentage of items that may fail; 1 on any
    other task tolerates its failure. 0 if not given."""
    retry: Retry | None = None
    """How failed attempts are made again."""
    timeout: Duration | None = None
    """Longest time of one attempt, from its container's start; of a child flow, from its first task's start."""
    queue_timeout: Duration | None = None
    """Longest time that an attempt may wait for its container to start: for a quota, a node, an image."""
    deadline: Duration | None = None
    """Longest time of all attempts together, from the first one's creation."""
    workload: Workload | None = None
    """What carries an attempt: a Pod, or a Job with one Pod. Pod if not given."""
    cache: Cache | None = None
    """Reuses the outputs of an earlier attempt of the same task with the same key."""
    log_tail: bool | None = None
    """Whether the end of a failed container's log becomes the message. True if not given."""
    pod_template: PodPart | None = None
    """Strategic-merge patch over the generated Pod (metadata and spec); expressions in its strings are replaced."""


class Workspace(ApiModel):
    """A PersistentVolumeClaim of the run, mounted into each of its containers. It goes with the run."""

    size: Quantity
    """Its size: `1Gi`."""
    mount_path: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Where it is mounted. /workspace if not given."""
    storage_class_name: Annotated[str, Field(max_length=253)] | None = None
    """Its storage class; the cluster's default if not given."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] | None = None
    """How it may be mounted. ReadWriteOnce if not given: tasks that run at once share a node."""


class PodRetention(ApiModel):
    """How long the Pods of ended attempts are kept, with their logs. Until their run goes if not given."""

    completed: Duration | None = None
    """Of attempts that ended well."""
    failed: Duration | None = None
    """Of all others."""


class Retention(ApiModel):
    """How long runs are kept that something other than a person named: a Schedule, a parent run, `generateName`."""

    completed: Duration | None = None
    """Of runs that ended well: Completed or Skipped."""
    failed: Duration | None = None
    """Of all others."""


class Concurrency(ApiModel):
    """How many runs go on at once, and what becomes of one more."""

    limit: Annotated[int, Field(ge=1, le=10000)]
    """Runs that go on at once."""
    on_limit: Literal["Queue", "Skip", "Replace"] | None = None
    """Queue: it waits for its turn, by priority, then by age. Skip: it ends as Skipped. Replace: the oldest run is
    cancelled, and it starts once that is over. Queue if not given."""
    key: Annotated[str, Field(max_length=4096)] | None = None
    """Runs of one key count together; expressions over `params` and `run` are replaced. All runs count together if not
    given."""


class InlineFlowSpec(ApiModel):
    """What a Flow does."""

    description: ShortText | None = None
    """What it is for."""
    params: Annotated[list[Param], Field(max_length=MAX_PARAMS), map_list("name")] | None = None
    """Parameters of its runs."""
    defaults: TaskDefaults | None = None
    """What every container task uses that does not say otherwise."""
    # Each task has one owner among appliers: a record of who owns which of its fields would outgrow the spec itself.
    tasks: Annotated[list[Annotated[Task, ATOMIC_MAP]], Field(min_length=1, max_length=MAX_TASKS), map_list("name")]
    """The tasks. Their order is that of the status; what runs when follows from dependencies alone."""
    finally_: Annotated[
        list[Annotated[Task, ATOMIC_MAP]] | None, Field(alias="finally", max_length=MAX_FINALLY), map_list("name")
    ] = None
    """Tasks that run when all others are over, however they ended, in any case but `shutdown: Terminate`. They see
    every task's state."""
    outputs: Annotated[dict[str, JsonValue], Field(max_length=MAX_OUTPUTS)] | None = None
    """Outputs of the run, from those of its tasks: `{rows: "$(tasks.load.outputs.rows)"}`."""
    timeout: Duration | None = None
    """Longest time of a run, from its first task's creation. It stands still while the run is Paused."""
    finally_timeout: Duration | None = None
    """Longest time of the finally tasks together, from the end of the others. No limit if not given."""
    failure_policy: Literal["Stop", "Continue"] | None = None
    """What a task's failure does to others. Stop: nothing new starts. Continue: every branch goes on that can. Stop if
    not given."""
    workspace: Workspace | None = None
    """A volume that the run's tasks share."""
    pod_retention: PodRetention | None = None
    """How long the Pods of ended attempts are kept."""
    track_pods: bool | None = None
    """Whether a finalizer keeps each Pod until its outcome is stored. Without it a task whose Pod vanishes first runs
    again, and each task costs one write less. The operator's setting if not given."""


class FlowSpec(InlineFlowSpec):
    """What a Flow does, and how its runs get along."""

    concurrency: Concurrency | None = None
    """How many runs go on at once. Read from the Flow as it is now, not as it was when a run began."""
    retention: Retention | None = None
    """How long runs are kept. Read from the Flow as it is now."""


class FlowStatus(ApiModel):
    """What the operator found out about a Flow."""

    observed_generation: Count | None = None
    """Generation of the spec that this status is about."""
    revision: DnsName | None = None
    """ConfigMap that keeps the current spec for runs."""
    tasks: Count | None = None
    """Number of tasks."""
    conditions: Conditions | None = None
    """Ready: whether runs can start from it."""
