"""Which tasks depend on which: by references in expressions, dependsOn and dependsOnStates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from penstock.api.flow import Task
from penstock.engine.compiler.graph import find_cycles
from penstock.engine.compiler.task_plan import Dependency, DependencyKind, TaskPlan
from penstock.engine.expressions.expression import TaskReference
from penstock.engine.state import COMPLETED_TASK_STATES, TaskState
from penstock.engine.suggestion import suggest
from penstock.errors import Problem

MAX_SHOWN_CYCLE: Final = 20
COVERS: Final = {
    TaskState.COMPLETED: COMPLETED_TASK_STATES,
    TaskState.FAILED: frozenset({TaskState.FAILED, TaskState.TIMED_OUT, TaskState.CRASHED}),
}
"""What a state named in dependsOnStates stands for, if for more than itself."""


class DependencyReader:
    """Reads the dependencies of the tasks of a Flow.

    Args:
        tasks: the tasks, those of `finally` last.
        positions: position of each task by its name.
        first_finally: position of the first task of `finally`.
        report: takes each problem found.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        positions: Mapping[str, int],
        *,
        first_finally: int,
        report: Callable[[Problem], None],
    ) -> None:
        self._tasks = tasks
        self._positions = positions
        self._first_finally = first_finally
        self._report = report

    def upstream(self, position: int, references: Iterable[TaskReference], path: str) -> tuple[Dependency, ...]:
        """Return what a task waits for, in the order of the tasks.

        Args:
            position: of the task.
            references: what its expressions refer to.
            path: its field path.
        """
        task = self._tasks[position]
        edges: dict[int, Dependency] = {}
        for task_name, attribute in references:
            other = self._positions[task_name]
            if attribute == "outputs":
                edges[other] = Dependency(other, DependencyKind.NEEDS, COMPLETED_TASK_STATES)
            else:
                edges.setdefault(other, Dependency(other, DependencyKind.AFTER))
        for index, dependency in enumerate(task.depends_on_states or ()):
            where = f"{path}.dependsOnStates[{index}].task"
            if self._is_known(position, dependency.task, where):
                other = self._positions[dependency.task]
                states = frozenset().union(
                    *(COVERS.get(TaskState(state), {TaskState(state)}) for state in dependency.states)
                )
                if other in edges and edges[other].kind is DependencyKind.NEEDS:
                    states &= COMPLETED_TASK_STATES
                    if not states:
                        message = (
                            f"an expression uses tasks.{dependency.task}.outputs, but {dependency.task} has outputs "
                            "only in state Completed or Cached: add one of these states, or use "
                            f"tasks.{dependency.task}.?outputs"
                        )
                        self._report(Problem(where, message))
                    edges[other] = Dependency(other, DependencyKind.NEEDS, states)
                else:
                    edges[other] = Dependency(other, DependencyKind.STATES, states)
        for index, name in enumerate(task.depends_on or ()):
            where = f"{path}.dependsOn[{index}]"
            if any(one.task == name for one in task.depends_on_states or ()):
                self._report(Problem(where, f'"{name}" is also in dependsOnStates: list it in only one of the two'))
            if self._is_known(position, name, where):
                other = self._positions[name]
                edges[other] = Dependency(other, DependencyKind.NEEDS, COMPLETED_TASK_STATES)
        edges.pop(position, None)
        return tuple(edges[other] for other in sorted(edges))

    def _is_known(self, position: int, name: str, path: str) -> bool:
        """Whether a task may depend on another by this name; reports why not."""
        if name == self._tasks[position].name:
            self._report(Problem(path, "a task cannot depend on itself"))
        elif name not in self._positions:
            self._report(Problem(path, f'there is no task "{name}"{suggest(name, self._positions)}'))
        elif position < self._first_finally <= self._positions[name]:
            self._report(Problem(path, f'"{name}" is a finally task, which runs after all others'))
        else:
            return True
        return False


def explain_cycles(upstream: Sequence[Sequence[int]], names: Sequence[str]) -> list[tuple[int, str]]:
    """Find tasks that wait for each other.

    Args:
        upstream: positions that each task waits for, by its own.
        names: of the tasks.

    Returns:
        For each cycle the position to report it at, and the message.
    """
    problems = []
    for cycle in find_cycles(upstream):
        waiting = [names[position] for position in cycle]
        shown = waiting[:MAX_SHOWN_CYCLE] + ["..."] * (len(waiting) > MAX_SHOWN_CYCLE) + waiting[:1]
        problems.append((cycle[0], f"these tasks form a dependency cycle: {' -> '.join(shown)}"))
    return problems


def awaited_states(tasks: Sequence[TaskPlan]) -> dict[int, frozenset[TaskState]]:
    """Return the states in which other tasks wait for a task, by its position.

    A finally task waits for all others, whatever it refers to. So it does not count: a failure still stops the run.
    """
    awaited: dict[int, frozenset[TaskState]] = {}
    for task in tasks:
        if task.is_finally:
            continue
        for dependency in task.upstream:
            if dependency.kind is not DependencyKind.NEEDS:
                awaited[dependency.task] = awaited.get(dependency.task, frozenset()) | dependency.states
    return awaited
