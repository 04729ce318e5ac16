"""The tasks of a spec in the order of their positions: what each inherits, and what its expressions may refer to."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Final, TypeVar

from penstock.api.flow import InlineFlowSpec, TaskDefaults
from penstock.engine.compiler.inheritance import inherited_finally, sources_of
from penstock.engine.expressions.expression import Scope, TaskShape
from penstock.engine.expressions.scope import ITEM_ROOTS, TASK_ROOTS

T = TypeVar("T")


class TaskGroup(Enum):
    """The tasks that can refer to the same ones."""

    MAIN = auto()
    FINALLY = auto()
    INHERITED = auto()
    """Finally tasks that come from FlowDefaults."""


class TaskList:
    """The tasks of a spec: its own, its `finally` tasks, and those that it inherits.

    Args:
        spec: the spec.
    """

    def __init__(self, spec: InlineFlowSpec) -> None:
        own = [*spec.tasks, *(spec.finally_ or ())]
        inherited = inherited_finally(spec)
        self.sources: Final = sources_of(spec)
        """The defaults below the Flow's own; the first that has a field decides."""
        self.tasks: Final = [*own, *(one.task for one in inherited)]
        self.params: Final = frozenset(param.name for param in spec.params or ())
        self.first_finally: Final = len(spec.tasks)
        self.first_inherited: Final = len(own)
        self.inherited_paths: Final = tuple(one.path for one in inherited)
        self.positions: Final[dict[str, int]] = {}
        for position, task in enumerate(self.tasks):
            self.positions.setdefault(task.name, position)
        self._defaults = spec.defaults or TaskDefaults()
        self._no_defaults = TaskDefaults()
        main, last, below = (
            {task.name: TaskShape.FAN_OUT if task.for_each else TaskShape.PLAIN for task in tasks}
            for tasks in (spec.tasks, spec.finally_ or (), [one.task for one in inherited])
        )
        # A Flow's own expressions mean the same whatever it inherits.
        known = {TaskGroup.MAIN: main, TaskGroup.FINALLY: main | last, TaskGroup.INHERITED: main | last | below}
        self._scopes = {
            (group, is_item): Scope(
                TASK_ROOTS | ITEM_ROOTS if is_item else TASK_ROOTS,
                self.params,
                tasks,
                is_finally=group is not TaskGroup.MAIN,
            )
            for group, tasks in known.items()
            for is_item in (False, True)
        }

    @property
    def outputs_scope(self) -> Scope:
        """What the outputs of the Flow may refer to."""
        return self._scopes[TaskGroup.FINALLY, False]

    def path(self, position: int) -> str:
        """Return the field path of a task."""
        if position < self.first_finally:
            return f"spec.tasks[{position}]"
        if position < self.first_inherited:
            return f"spec.finally[{position - self.first_finally}]"
        return self.inherited_paths[position - self.first_inherited]

    def group(self, position: int) -> TaskGroup:
        """Return which tasks a task belongs to."""
        if position < self.first_finally:
            return TaskGroup.MAIN
        return TaskGroup.INHERITED if self.is_inherited(position) else TaskGroup.FINALLY

    def is_inherited(self, position: int) -> bool:
        """Whether a task comes from FlowDefaults."""
        return position >= self.first_inherited

    def scope(self, position: int, *, is_item: bool = False) -> Scope:
        """Return what the expressions of a task may refer to."""
        return self._scopes[self.group(position), is_item]

    def defaults_of(self, position: int) -> TaskDefaults:
        """Return what the Flow gives a container task. One that is inherited runs alike in every Flow."""
        return self._no_defaults if self.is_inherited(position) else self._defaults

    def inherited_value(self, field: str) -> tuple[Any, str]:
        """Return a field of the defaults below the Flow's own, and its path; None and an empty path if none has it."""
        for source in self.sources:
            if (value := getattr(source.spec, field)) is not None:
                return value, source.path
        return None, ""
