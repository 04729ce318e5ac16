"""The task graph of a Flow as it is drawn: tasks, dependencies, and states in a run. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from penstock.api.flow import InlineFlowSpec
from penstock.drawing.task_rows import Object, TaskRow, read_tasks
from penstock.engine.compiler.dependencies import COVERS
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.engine.compiler.task_plan import DependencyKind, TaskKind, TaskPlan
from penstock.engine.state import TaskState

MIN_GROUP: Final = 4
"""Minimum number of tasks that differ only in their names to draw them as one."""
KIND_WORDS: Final = {TaskKind.APPROVAL: "approval", TaskKind.CONTAINER: ""}


class Edge(NamedTuple):
    """A dependency of a task."""

    task: int
    """Index of the upstream task."""
    label: str
    """The required state if that is not Completed: `Failed`, or `finished` for any final state."""


class Node(NamedTuple):
    """A task."""

    name: str
    note: str
    """Its kind if it is not a container that runs once: `for each item`, `flow send-report`, `approval`."""
    state: str
    """Its state in a run; empty for a Flow."""
    is_finally: bool
    edges: tuple[Edge, ...]
    items: str = ""
    """Finished and total items of a task with items in a run."""

    @property
    def standing(self) -> str:
        """Its state and items in a run."""
        return " ".join(filter(None, (self.state, self.items)))


def build_diagram(spec: InlineFlowSpec, run: Object | None = None) -> list[Node]:
    """Build the graph of a Flow.

    Args:
        spec: its spec.
        run: a FlowRun whose states to show.

    Returns:
        The tasks in the order of the spec, finally tasks last.

    Raises:
        InvalidSpecError: the Flow is invalid.
    """
    rows = {row.name: row for row in read_tasks(run)} if run else {}
    return [_node(task, rows.get(task.name)) for task in compile_plan(spec).tasks]


def order(nodes: Sequence[Node], positions: Sequence[int]) -> list[int]:
    """Sort tasks topologically, each as close as possible to its last upstream task.

    Args:
        nodes: the graph.
        positions: indexes of the tasks to sort; edges to others are ignored.

    Returns:
        Their indexes in order.
    """
    chosen = set(positions)
    waits = {place: sum(edge.task in chosen for edge in nodes[place].edges) for place in positions}
    downstream: dict[int, list[int]] = {place: [] for place in positions}
    for place in positions:
        for edge in nodes[place].edges:
            if edge.task in chosen:
                downstream[edge.task].append(place)
    ordered: list[int] = []
    ready = [place for place in reversed(positions) if waits[place] == 0]
    while ready:
        place = ready.pop()
        ordered.append(place)
        # A task that became ready is next: a branch is completed before the next one begins.
        for follower in reversed(downstream[place]):
            waits[follower] -= 1
            if waits[follower] == 0:
                ready.append(follower)
    return ordered


def group(nodes: Sequence[Node], positions: Sequence[int]) -> list[tuple[int, ...]]:
    """Group tasks of the same kind that have the same upstream and the same downstream tasks.

    Args:
        nodes: the graph.
        positions: indexes of the tasks to group; edges to others are ignored.

    Returns:
        The indexes of the members of each group; most groups have one member.
    """
    followers: dict[int, set[tuple[int, str]]] = {place: set() for place in positions}
    for place in positions:
        for edge in nodes[place].edges:
            if edge.task in followers:
                followers[edge.task].add((place, edge.label))
    alike: dict[object, list[int]] = {}
    for place in positions:
        node = nodes[place]
        alike.setdefault((node.edges, frozenset(followers[place]), node.note), []).append(place)
    groups: list[tuple[int, ...]] = []
    for members in alike.values():
        groups += [tuple(members)] if len(members) >= MIN_GROUP else [(member,) for member in members]
    return sorted(groups)


def summarize_states(nodes: Sequence[Node], members: Sequence[int]) -> tuple[str, str]:
    """Summarize the states of tasks that are drawn as one.

    Returns:
        The most frequent state, and the text; both empty without a run.
    """
    if len(members) == 1:
        return nodes[members[0]].state, nodes[members[0]].standing
    counts = Counter(nodes[member].state for member in members).most_common()
    state, count = counts[0]
    return state, state if count == len(members) else ", ".join(f"{each} {name or 'unknown'}" for name, each in counts)


def _node(task: TaskPlan, row: TaskRow | None) -> Node:
    notes = [f"flow {task.child.flow}" if task.child else KIND_WORDS.get(task.kind, "")]
    if task.fan_out:
        count = task.fan_out.fixed_count
        notes.append("for each item" if count is None else f"for each of {count} items")
    if task.when:
        notes.append("when")
    edges = []
    for dependency in task.upstream:
        label = ""
        if dependency.kind is DependencyKind.AFTER:
            label = "finished"
        elif dependency.kind is DependencyKind.STATES:
            label = _spell(dependency.states)
        edges.append(Edge(dependency.task, label))
    state, items = (row.state, row.items if task.fan_out else "") if row else ("", "")
    return Node(task.name, ", ".join(filter(None, notes)), state, task.is_finally, tuple(edges), items)


def _spell(states: frozenset[TaskState]) -> str:
    """Name states as in a spec, where one word can cover several states."""
    left, words = set(states), []
    for word, covered in COVERS.items():
        if covered <= left:
            words.append(str(word))
            left -= covered
    return "|".join(sorted([*words, *map(str, left)]))
