"""The tasks and items of a run that can't start or whose node does not report, by reason: for its status and Events.

A wait that ends within moments is not worth a write of its own: it shows in the task's entry if that is stored anyway.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.reason_groups import HELD_REASONS
from penstock.engine.machine.tasks.task_instance import TaskInstance
from penstock.engine.state import TaskState

SHOWN_AFTER_S: Final = 5.0
"""A wait as long as this is shown as the run's reason, and recorded as an Event."""
NAMED_REASONS: Final = 5
"""Reasons whose numbers a message shows."""
ANNOUNCED_TASKS: Final = 10
"""Tasks that get an Event for the same reason: a quota may hold thousands, and the run's status counts them all."""

_WAITING_STATES: Final = frozenset({TaskState.PENDING, TaskState.QUEUED, TaskState.RUNNING})


class Summary(NamedTuple):
    """What keeps tasks or items from starting, with one example."""

    reason: str
    message: str


class _Group(NamedTuple):
    """The items of one task, or a task, that wait for the same reason."""

    task: str
    reason: str


class Obstacles:
    """Keeps track of what can't start. Each step costs what has changed.

    Attributes:
        is_resumed: the run was picked up from what is stored: what is in its way now was there before, so its status
            still shows it.
    """

    def __init__(self) -> None:
        self.is_resumed = False
        self._changed: dict[TaskInstanceKey, TaskInstance] = {}
        self._groups: dict[_Group, dict[TaskInstanceKey, TaskInstance]] = {}
        self._group_of: dict[TaskInstanceKey, _Group] = {}
        self._since: dict[_Group, float] = {}
        self._created: deque[tuple[float, _Group]] = deque()
        self._counts: Counter[str] = Counter()
        self._shown: dict[str, dict[_Group, None]] = {}
        self._announced: defaultdict[str, set[str]] = defaultdict(set)
        """Tasks by reason."""

    def record(self, key: TaskInstanceKey, instance: TaskInstance) -> None:
        """Record that a task or item changed."""
        if instance.reason is not None or key in self._group_of:
            self._changed[key] = instance

    def update(self, now: float) -> list[tuple[TaskInstanceKey, TaskInstance]]:
        """Apply the changes since the last call.

        Returns:
            An example of each task and reason that has lasted long enough to be shown, the first time that it has; of
            one reason a few tasks only.
        """
        since = now - SHOWN_AFTER_S if self.is_resumed else now
        self.is_resumed = False
        for key, instance in self._changed.items():
            self._move(key, instance, since)
        self._changed.clear()
        found: list[tuple[TaskInstanceKey, TaskInstance]] = []
        while self._created and self._created[0][0] + SHOWN_AFTER_S <= now:
            created_at, group = self._created.popleft()
            if self._since.get(group) != created_at:
                continue
            self._shown.setdefault(group.reason, {})[group] = None
            announced = self._announced[group.reason]
            if group.task not in announced and len(announced) < ANNOUNCED_TASKS:
                announced.add(group.task)
                found.append(next(iter(self._groups[group].items())))
        return found

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of tasks and items that wait, by reason."""
        return dict(self._counts)

    def next_due_at(self) -> float | None:
        """Return when a wait will have lasted long enough to be shown, seconds since the epoch; None if none will."""
        return self._created[0][0] + SHOWN_AFTER_S if self._created else None

    def summary(self) -> Summary | None:
        """Return what has kept tasks and items from starting for long enough to be shown."""
        if not self._shown:
            return None
        reason = _worst(self._shown)
        key, instance = next(iter(self._groups[next(iter(self._shown[reason]))].items()))
        counts = {reason: self._counts[reason] for reason in self._shown}
        example = f"task {name_of(key)}: {instance.message or reason}"
        return Summary(reason, example if counts == {reason: 1} else f"{describe_counts(counts)}; {example}")

    def _move(self, key: TaskInstanceKey, instance: TaskInstance, since: float) -> None:
        reason = obstacle_of(instance)
        group = None if reason is None else _Group(key.task, reason)
        before = self._group_of.pop(key, None)
        if before is not None and before != group:
            self._counts[before.reason] -= 1
            del self._groups[before][key]
            if not self._groups[before]:
                self._close(before)
        if group is None:
            return
        self._group_of[key] = group
        if group not in self._groups:
            self._groups[group], self._since[group] = {}, since
            self._created.append((since, group))
        if before != group:
            self._groups[group][key] = instance
            self._counts[group.reason] += 1

    def _close(self, group: _Group) -> None:
        del self._groups[group], self._since[group]
        shown = self._shown.get(group.reason, {})
        shown.pop(group, None)
        if not shown:
            self._shown.pop(group.reason, None)


def obstacle_of(instance: TaskInstance) -> str | None:
    """Return why a task or item can't start or its node does not report; None if nothing is known to be in its way."""
    if instance.state not in _WAITING_STATES or instance.stopping is not None:
        return None
    return instance.reason


def name_of(key: TaskInstanceKey) -> str:
    """Name a task or an item: `load`, `load[3]`."""
    return key.task if key.item is None else f"{key.task}[{key.item}]"


def summarize_items(live: Mapping[int, TaskInstance]) -> Summary | None:
    """Return what keeps items of a fan-out from starting."""
    groups: dict[str, list[int]] = {}
    for index in sorted(live):
        if (reason := obstacle_of(live[index])) is not None:
            groups.setdefault(reason, []).append(index)
    if not groups:
        return None
    reason = _worst(groups)
    index = groups[reason][0]
    counts = {reason: len(indexes) for reason, indexes in groups.items()}
    example = f"item {index}: {live[index].message or reason}"
    return Summary(reason, f"{describe_counts(counts)}; {example}")


def describe_counts(counts: Mapping[str, int]) -> str:
    """Return how many wait for what: `12 waiting: 10 ImagePullFailed, 2 Unschedulable`."""
    largest = sorted(counts.items(), key=lambda one: -one[1])[:NAMED_REASONS]
    return f"{sum(counts.values())} waiting: {', '.join(f'{count} {reason}' for reason, count in largest)}"


def _worst(reasons: Iterable[str]) -> str:
    """Return the reason to show: a wait in a queue ends by itself, so any other comes first."""
    return min(reasons, key=lambda reason: reason in HELD_REASONS)
