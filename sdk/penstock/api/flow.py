"""The Flow: a parameterised graph of tasks."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from penstock.api.base import (
    ApiModel,
    Count,
    DnsName,
    Duration,
    Expression,
    Identifier,
    Image,
    JsonValue,
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
MAX_PARAMS: Final = 128
MAX_ITEMS: Final = 100_000
MAX_OUTPUTS: Final = 256
MAX_RESOURCES: Final = 32

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
    """Value when a run gives none. A param without a default is required."""
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
        return self.default is None


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


class Task(ApiModel):
    """One step of the Flow: a container that runs to its end."""

    rules: ClassVar = (
        Rule("!has(self.command) || !has(self.script)", "a task has either command or script: remove one of them"),
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
    depends_on: Annotated[list[TaskName], Field(max_length=MAX_TASKS), SET] | None = None
    """Tasks that must have completed first. Referring to `tasks.x.outputs` says the same of x."""
    when: Expression | None = None
    """CEL expression; when it is false the task is Skipped."""
    for_each: ForEach | None = None
    """Runs the task once for each item, as many at once as maxParallel allows."""
    max_parallel: Annotated[int, Field(ge=1, le=2000)] | None = None
    """Items that run at once. 2000 if not given."""
    retry: Retry | None = None
    """How failed attempts are made again."""
    timeout: Duration | None = None
    """Longest time of one attempt, from its container's start."""
    pod_template: PodPart | None = None
    """Strategic-merge patch over the generated Pod (metadata and spec)."""


class FlowSpec(ApiModel):
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
    outputs: Annotated[dict[str, JsonValue], Field(max_length=MAX_OUTPUTS)] | None = None
    """Outputs of the run, from those of its tasks: `{rows: "$(tasks.load.outputs.rows)"}`."""
    timeout: Duration | None = None
    """Longest time of a run, from its first task's creation."""


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
