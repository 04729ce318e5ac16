"""A task as a run sees it: compiled, with the Flow's defaults merged in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from penstock.api.duration import duration_s
from penstock.api.flow import Approval, Retry
from penstock.engine.compiler.fan_out import FanOut
from penstock.engine.compiler.pod_template import PodTemplate
from penstock.engine.expressions.expression import Expression
from penstock.engine.expressions.template import Template, ValueTemplate
from penstock.engine.state import FINAL_TASK_STATES, TaskState

MAX_PARALLEL: Final = 2000
"""Items of a fan-out that run at once, if the task does not limit them further."""
RETRY_LIMIT: Final = 0
RETRY_INFRASTRUCTURE: Final = 5
RETRY_FACTOR: Final = 1
RETRY_MAX_DELAY_S: Final = 3600.0
NODE_LOST_AFTER: Final = "10m"
CACHE_TTL: Final = "24h"
WORKSPACE_PATH: Final = "/workspace"
OUTPUTS_PATH: Final = "/dev/termination-log"
"""The file for outputs, if a task names none."""


class DependencyKind(Enum):
    """What a task waits for."""

    NEEDS = auto()
    """The other must have Completed: dependsOn, and references to its outputs."""
    STATES = auto()
    """The other must have finished in one of some states: dependsOnStates."""
    AFTER = auto()
    """The other must have finished: references to its state, reason or exitCode."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """An edge of the graph."""

    task: int
    """Position of the upstream task."""
    kind: DependencyKind
    states: frozenset[TaskState] = FINAL_TASK_STATES
    """States of the upstream task that satisfy the dependency."""


class TaskKind(Enum):
    """What a task is."""

    CONTAINER = auto()
    FLOW = auto()
    APPROVAL = auto()


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """The child flow that a task runs."""

    flow: str
    params: ValueTemplate


@dataclass(frozen=True, slots=True)
class ApproversPlan:
    """Who may decide about a task."""

    users: frozenset[str]
    groups: frozenset[str]

    @classmethod
    def of(cls, approval: Approval) -> ApproversPlan | None:
        """Return who may decide about an approval; None: whoever may write the run."""
        given = approval.approvers
        return None if given is None else cls(frozenset(given.users or ()), frozenset(given.groups or ()))

    def include(self, user: str, groups: Collection[str]) -> bool:
        """Whether a user may decide.

        Args:
            user: name of the user, as the API server has it.
            groups: the groups of the user.
        """
        return user in self.users or not self.groups.isdisjoint(groups)

    def __str__(self) -> str:
        """Return it in the words of messages."""
        parts = [
            f"{word} {', '.join(sorted(found))}"
            for word, found in (("users", self.users), ("groups", self.groups))
            if found
        ]
        return f"it is decided by the {' and the '.join(parts)}"


@dataclass(frozen=True, slots=True)
class ApprovalPlan:
    """The question that a task asks a person."""

    message: Template
    timeout_s: float | None
    approvers: ApproversPlan | None
    """Who may decide; None: whoever may write the run."""


@dataclass(frozen=True, slots=True)
class CachePlan:
    """How a task's outputs are reused."""

    key: Template
    ttl_s: float
    signature: str
    """Digest of what the task runs."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How many items may fail: a number, or a percentage of all."""

    count: int = 0
    percentage: int | None = None

    def of(self, total: int) -> int:
        """Return how many of `total` items may fail; a percentage is rounded down."""
        return self.count if self.percentage is None else total * self.percentage // 100


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How failed attempts are retried, with the defaults filled in."""

    limit: int
    infrastructure: int
    delay_s: float
    factor: int
    max_delay_s: float
    jitter: float
    """Part of the delay, 0 to 1."""
    when: Expression | None = None
    """If it is false after a failure, the failure is final."""
    non_retryable_exit_codes: frozenset[int] = frozenset()
    node_lost_after_s: float | None = None
    """None: never."""


@dataclass(frozen=True, slots=True)
class EnvEntry:
    """An environment variable: a value, or the source of one as in a Pod."""

    name: str
    value: Template | None
    value_from: PodTemplate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """A task, with the Flow's defaults merged in."""

    position: int
    name: str
    kind: TaskKind
    is_finally: bool
    image: Template
    command: tuple[str, ...] | None
    has_script: bool
    args: tuple[Template, ...]
    env: tuple[EnvEntry, ...]
    resources: dict[str, Any] | None
    service_account_name: str | None
    pod_templates: tuple[PodTemplate, ...]
    """Patches over the Pod: the defaults', then the task's."""
    is_job: bool
    """Whether a Job carries each attempt."""
    has_log_tail: bool
    """Whether the end of a failed container's log becomes the message."""
    outputs_file: str | None
    """The container writes its outputs to this file; None: to the one that Penstock chooses."""
    has_text_outputs: bool
    """Whether its outputs are a text, not a JSON object."""
    child: ChildPlan | None
    approval: ApprovalPlan | None
    cache: CachePlan | None
    upstream: tuple[Dependency, ...]
    """One for each upstream task, in order of position."""
    downstream: tuple[int, ...]
    """Positions of the tasks that wait for this one."""
    awaited_states: frozenset[TaskState]
    """States in which another task waits for this one to end. A failure in such a state does not stop the run."""
    when: Expression | None
    fan_out: FanOut | None
    max_parallel: int
    allow_failed: Tolerance
    retry: RetryPolicy
    timeout_s: float | None
    queue_timeout_s: float | None
    """None if the spec gives none, or `0s`."""
    has_default_queue_timeout: bool
    """Whether the default applies, which depends on what the attempt waits for."""
    default_queue_timeout_s: float | None
    """The default, whatever a container waits for; None: the built-in one, whose length depends on that."""
    deadline_s: float | None
    render_tasks: frozenset[str]
    """Names of the tasks whose values its expressions need."""
    params: frozenset[str]
    """Names of the params that its expressions refer to, but for those of `retry.when`."""


def merge_retry(given: Sequence[Retry | None], when: Expression | None = None) -> RetryPolicy:
    """Merge a task's retry with the defaults' field by field.

    Args:
        given: the task's own, and the defaults'; the first that has a field decides.
        when: the compiled `when` of whichever has one.
    """

    def choose(field: str, otherwise: Any) -> Any:
        for one in given:
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
        when=when,
        non_retryable_exit_codes=frozenset(choose("non_retryable_exit_codes", ())),
        node_lost_after_s=None if (lost := choose("node_lost_after", NODE_LOST_AFTER)) == "Never" else duration_s(lost),
    )
