"""The Flow: a parameterised graph of tasks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from penstock.api.base import (
    ApiModel,
    Duration,
    Expression,
    Identifier,
    JsonValue,
    Percentage,
    ShortText,
    TaskName,
    Text,
)
from penstock.api.condition import Condition

MAX_TASKS = 5000
MAX_PARAMS = 128
MAX_ITEMS = 100_000

ParamType = Literal["string", "integer", "number", "boolean", "array", "object"]


class Param(ApiModel):
    """A parameter of the Flow, given by each run."""

    name: Identifier
    """Name by which expressions refer to it: `$(params.NAME)`."""
    type: ParamType = "string"
    """Type of its values."""
    description: ShortText | None = None
    """What it is for."""
    default: JsonValue = None
    """Value when a run gives none. A param without a default is required."""
    enum: Annotated[list[JsonValue], Field(min_length=1, max_length=256)] | None = None
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
        return "default" not in self.model_fields_set


class Retry(ApiModel):
    """How often and when a failed attempt is made again."""

    limit: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Further attempts after failures of the task itself: exit codes, timeouts, out of memory. 0 if not given."""
    infrastructure: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Further attempts after failures done to the task: eviction, preemption, a lost node, a deleted Pod. 5 if not given."""
    delay: Duration | None = None
    """Wait before the first retry. None if not given."""
    factor: Annotated[int, Field(ge=1, le=100)] | None = None
    """Each further wait is this many times the one before. 1 if not given."""
    max_delay: Duration | None = None
    """Longest wait. 1h if not given."""
    jitter: Percentage | None = None
    """Part of the wait that is added or taken off, differently for each task and attempt, so that retries don't come together."""


class EnvVar(ApiModel):
    """An environment variable of the task's container."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    """Name of the variable."""
    value: Text | None = None
    """Its value; expressions in `$(...)` are replaced."""
    value_from: dict[str, Any] | None = None
    """Source of the value, as in a Pod: secretKeyRef, configMapKeyRef, fieldRef, resourceFieldRef."""


class Resources(ApiModel):
    """Compute resources of the task's container, as in a Pod."""

    requests: dict[str, int | str] | None = None
    """What is reserved."""
    limits: dict[str, int | str] | None = None
    """What may not be exceeded."""


class TaskDefaults(ApiModel):
    """What every container task uses that does not say otherwise."""

    image: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Container image."""
    env: Annotated[list[EnvVar], Field(max_length=256)] | None = None
    """Environment variables, added to the task's own; of the same name the task's wins."""
    resources: Resources | None = None
    """Compute resources."""
    service_account_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Service account of the Pod. Without one the Pod gets no API token."""
    retry: Retry | None = None
    """How failed attempts are made again; field by field, the task's own wins."""
    timeout: Duration | None = None
    """Longest time of one attempt, from its container's start."""
    pod_template: dict[str, Any] | None = None
    """Strategic-merge patch over the generated Pod (metadata and spec), before the task's own."""


class ForEach(ApiModel):
    """Runs the task once for each item: give exactly one of items, count and matrix."""

    items: JsonValue = None
    """The items: a list, or one expression `$(...)` whose value is a list."""
    count: int | str | None = None
    """This many items, 0 to count-1: a number, or one expression `$(...)` whose value is a whole number."""
    matrix: Annotated[dict[str, JsonValue], Field(min_length=1, max_length=16)] | None = None
    """Every combination of the axes' values, each axis a list or one expression; `$(item.AXIS)` is its value."""


class Task(ApiModel):
    """One step of the Flow: a container that runs to its end."""

    name: TaskName
    """Name of the task, unique in the Flow."""
    description: ShortText | None = None
    """What it does."""
    image: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Container image; `defaults.image` if not given."""
    command: Annotated[list[Text], Field(min_length=1, max_length=256)] | None = None
    """Entry point. Never expanded: values reach code by args, environment or files."""
    args: Annotated[list[Text], Field(max_length=1024)] | None = None
    """Arguments; expressions in `$(...)` are replaced."""
    script: Annotated[str, Field(min_length=1, max_length=262144)] | None = None
    """A script run in place of a command, by the interpreter that its first line names (`#!/bin/sh` if none). Never expanded."""
    env: Annotated[list[EnvVar], Field(max_length=256)] | None = None
    """Environment variables."""
    resources: Resources | None = None
    """Compute resources."""
    service_account_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Service account of the Pod. Without one the Pod gets no API token."""
    depends_on: Annotated[list[TaskName], Field(max_length=MAX_TASKS)] | None = None
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
    pod_template: dict[str, Any] | None = None
    """Strategic-merge patch over the generated Pod (metadata and spec)."""


class FlowSpec(ApiModel):
    """What a Flow does."""

    description: ShortText | None = None
    """What it is for."""
    params: Annotated[list[Param], Field(max_length=MAX_PARAMS)] | None = None
    """Parameters of its runs."""
    defaults: TaskDefaults | None = None
    """What every container task uses that does not say otherwise."""
    tasks: Annotated[list[Task], Field(min_length=1, max_length=MAX_TASKS)]
    """The tasks. Their order is that of the status; what runs when follows from dependencies alone."""
    outputs: Annotated[dict[str, JsonValue], Field(max_length=256)] | None = None
    """Outputs of the run, from those of its tasks: `{rows: "$(tasks.load.outputs.rows)"}`."""
    timeout: Duration | None = None
    """Longest time of a run, from its first task's creation."""


class FlowStatus(ApiModel):
    """What the operator found out about a Flow."""

    observed_generation: int | None = None
    """Generation of the spec that this status is about."""
    revision: Annotated[str, Field(max_length=253)] | None = None
    """ConfigMap that keeps the current spec for runs."""
    tasks: int | None = None
    """Number of tasks."""
    conditions: Annotated[list[Condition], Field(max_length=16)] | None = None
    """Ready: whether runs can start from it."""
