"""Which expressions of a plan may be too expensive to be evaluated where others wait for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from penstock.engine.compiler.task_plan import TaskPlan

FAILURE_WEIGHT: Final = 8192
"""At most the weight of a failure: of its message most of all."""


class ExpressionCosts(NamedTuple):
    """Up to which weight of their values the expressions of a plan are cheap."""

    retry_when: int
    """The least `cheap_weight` of the `retry.when`s that use params."""
    keys: int
    """The least `cheap_weight` of cache keys and of the messages of approvals."""
    fan_outs: tuple[tuple[int, int], ...]
    """Position and `cheap_weight` of the tasks whose items are computed."""

    @property
    def is_any(self) -> bool:
        """Whether any of them depends on its values."""
        return bool(self.fan_outs) or min(self.retry_when, self.keys) < sys.maxsize


def find_costs(tasks: Sequence[TaskPlan]) -> ExpressionCosts:
    """Find the costs of the expressions of a plan."""
    fan_outs = ((task.position, task.fan_out.cheap_weight) for task in tasks if task.fan_out is not None)
    return ExpressionCosts(
        min((_of_retry(task) for task in tasks), default=sys.maxsize),
        min((weight for task in tasks for weight in _of_keys(task)), default=sys.maxsize),
        tuple((position, weight) for position, weight in fan_outs if weight < sys.maxsize),
    )


def _of_retry(task: TaskPlan) -> int:
    when = task.retry.when
    if when is None or (when.cheap_weight >= FAILURE_WEIGHT and not (when.params or when.takes_all_params)):
        return sys.maxsize
    return when.cheap_weight


def _of_keys(task: TaskPlan) -> Iterator[int]:
    if task.cache is not None:
        weight = task.cache.key.cheap_weight
        # How large computed items are is not known.
        yield -1 if weight < sys.maxsize and task.fan_out is not None else weight
    if task.approval is not None:
        yield task.approval.message.cheap_weight
