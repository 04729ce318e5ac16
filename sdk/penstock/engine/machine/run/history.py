"""The budget of a status for past attempts and messages: the oldest attempts are dropped first, then messages.

The histories of five thousand tasks would not fit into an object. What a decision depends on is never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from penstock.engine.machine.tasks.task import TaskRun

HISTORY_BYTES: Final = 128 * 1024
"""Most bytes of failed attempts and messages of all tasks together."""


class History:
    """Keeps the failed attempts and messages of all tasks within their budget."""

    def __init__(self) -> None:
        # In the order of the tasks' last changes.
        self._bytes: dict[TaskRun, int] = {}
        self._total = 0

    @property
    def total_bytes(self) -> int:
        """Bytes of the failed attempts and messages of all tasks."""
        return self._total

    def record_task(self, task: TaskRun) -> list[TaskRun]:
        """Count a task whose attempts or message changed.

        Returns:
            The tasks that dropped something to keep the budget.
        """
        self._measure(task)
        if self._total <= HISTORY_BYTES:
            return []
        return list(dict.fromkeys([*self._trim(TaskRun.drop_attempts), *self._trim(TaskRun.drop_message)]))

    def _measure(self, task: TaskRun) -> None:
        self._total -= self._bytes.pop(task, 0)
        size = task.history_bytes()
        if size:
            self._bytes[task] = size
            self._total += size

    def _trim(self, drop: Callable[[TaskRun], bool]) -> Iterator[TaskRun]:
        for task in list(self._bytes):
            if self._total <= HISTORY_BYTES:
                return
            if drop(task):
                size = task.history_bytes()
                self._total += size - self._bytes[task]
                self._bytes[task] = size
                yield task
