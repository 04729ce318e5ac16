"""A task as a run sees it: compiled, with the Flow's defaults merged in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from penstock.api.duration import duration_s
from penstock.api.flow import Retry
from penstock.engine.expression import Expression
from penstock.engine.fan_out import FanOut
from penstock.engine.template import Template

MAX_PARALLEL: Final = 2000
"""Items of a fan-out that run at once, if the task says no less."""
RETRY_LIMIT: Final = 0
RETRY_INFRASTRUCTURE: Final = 5
RETRY_FACTOR: Final = 1
RETRY_MAX_DELAY_S: Final = 3600.0


class DependencyKind(Enum):
    """What a task waits for."""

    NEEDS = auto()
    """The other must have Completed: dependsOn, and references to its outputs."""
    AFTER = auto()
    """The other must be over: references to its state, reason or exitCode."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """An edge of the graph."""

    task: int
    """Position of the task that is waited for."""
    kind: DependencyKind


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How failed attempts are made again, every field decided."""

    limit: int
    infrastructure: int
    delay_s: float
    factor: int
    max_delay_s: float
    jitter: float
    """Part of the delay, 0 to 1."""


@dataclass(frozen=True, slots=True)
class EnvEntry:
    """An environment variable: a value, or the source of one as in a Pod."""

    name: str
    value: Template | None
    value_from: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """A task, with the Flow's defaults merged in."""

    position: int
    name: str
    image: str
    command: tuple[str, ...] | None
    has_script: bool
    args: tuple[Template, ...]
    env: tuple[EnvEntry, ...]
    resources: dict[str, Any] | None
    service_account_name: str | None
    pod_templates: tuple[dict[str, Any], ...]
    """Patches over the Pod: the defaults', then the task's."""
    upstream: tuple[Dependency, ...]
    """One for each task that is waited for, in order of position."""
    downstream: tuple[int, ...]
    """Positions of the tasks that wait for this one."""
    when: Expression | None
    fan_out: FanOut | None
    max_parallel: int
    retry: RetryPolicy
    timeout_s: float | None
    render_tasks: frozenset[str]
    """Names of the tasks whose values args, env, forEach and when need."""


def merge_retry(defaults: Retry | None, own: Retry | None) -> RetryPolicy:
    """Merge a task's retry with the defaults' field by field; the task's own wins."""

    def choose(field: str, otherwise: Any) -> Any:
        for one in (own, defaults):
            if one is not None and (value := getattr(one, field)) is not None:
                return value
        return otherwise

    return RetryPolicy(
        limit=choose("limit", RETRY_LIMIT),
        infrastructure=choose("infrastructure", RETRY_INFRASTRUCTURE),
        delay_s=duration_s(choose("delay", "0s")),
        factor=choose("factor", RETRY_FACTOR),
        max_delay_s=duration_s(max_delay) if (max_delay := choose("max_delay", None)) else RETRY_MAX_DELAY_S,
        jitter=int(choose("jitter", "0%").removesuffix("%")) / 100,
    )
