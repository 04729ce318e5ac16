"""Counts of the task runs of a flow run by their final states, for the summary at its end."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class TaskTally:
    """Counts for one task."""

    name: str
    states: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    total_s: float = 0.0


class Tally:
    """Counts the task runs of a flow run and of the flow runs that it calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[tuple[str, str], TaskTally] = {}

    def count_run(self, *, flow: str, task: str, state: str, attempts: int, duration_s: float) -> int:
        """Count a finished task run.

        Args:
            flow: name of the flow.
            task: name of the task.
            state: the final state.
            attempts: number of attempts.
            duration_s: from its first attempt to its end, in seconds.

        Returns:
            The number of runs of the task with that final state.
        """
        with self._lock:
            tally = self._tasks.get((flow, task))
            if tally is None:
                tally = self._tasks[flow, task] = TaskTally(task)
            tally.states[state] += 1
            tally.retries += max(0, attempts - 1)
            tally.total_s += duration_s
            return tally.states[state]

    def task_rows(self, flow: str) -> list[TaskTally]:
        """Return the tasks in the order of their first end; names of tasks in other flows begin with the flow."""
        with self._lock:
            return [
                TaskTally(task if owner == flow else f"{owner}/{task}", tally.states, tally.retries, tally.total_s)
                for (owner, task), tally in self._tasks.items()
            ]
