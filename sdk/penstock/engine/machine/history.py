"""What a status tells of the past, kept within a budget: the oldest attempts go first, then messages.

Five thousand tasks that each tell a long story would not fit an object. What a decision rests on is never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from penstock.engine.machine.task import TaskRun

HISTORY_BYTES: Final = 128 * 1024
"""Most bytes of failed attempts and messages of all tasks together."""


class History:
    """Weighs what tasks tell, and has the oldest tell less."""

    def __init__(self) -> None:
        # In the order in which tasks last had something to tell.
        self._bytes: dict[TaskRun, int] = {}
        self._total = 0

    def record_task(self, task: TaskRun) -> list[TaskRun]:
        """Weigh a task that has something new to tell.

        Returns:
            The tasks that had to drop something for it.
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
