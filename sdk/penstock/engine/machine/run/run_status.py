"""The status of a run, and which part of it is not stored yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from penstock.engine.machine.entry import known
from penstock.engine.machine.run.run_clock import RunClock
from penstock.engine.machine.run.shutdown import Shutdown
from penstock.engine.machine.tasks.task import TaskRun
from penstock.engine.names import ENGINE_VERSION
from penstock.engine.state import (
    FAILED_TASK_STATES,
    FINAL_RUN_STATES,
    FINAL_TASK_STATES,
    SUCCESSFUL_RUN_STATES,
    UNSUCCESSFUL_TASK_STATES,
    RunState,
)
from penstock.engine.timestamp import epoch, rfc3339
from penstock.errors import StoredStatusError


class Changes(NamedTuple):
    """The changes that the stored status lacks."""

    version: int
    """To be passed to `Machine.mark_stored` once it is stored."""
    status: dict[str, Any] | None
    """The whole status, when none is stored yet."""
    operations: list[dict[str, Any]]
    """Else the operations of a JSON Patch (RFC 6902) against the object, one a changed entry."""
    positions: tuple[int, ...]
    fields: dict[str, Any]


@dataclass(slots=True)
class Head:
    """The part of the status that is about the run as a whole."""

    state: RunState
    created_at: float
    total: int
    params: Mapping[str, Any]
    reason: str | None = None
    message: str | None = None
    completion_time: float | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    shutdown: Shutdown | None = None
    ancestor: Mapping[str, Any] | None = None
    """The run that this one retries, as the status has it."""

    @classmethod
    def new(cls, *, now: float, total: int, params: Mapping[str, Any]) -> Head:
        """Return the head of a new run."""
        return cls(RunState.PENDING, now, total, params)

    def fields(
        self, counts: Mapping[str, int], finished: int, clock: RunClock, *, failed_task: str | None
    ) -> dict[str, Any]:
        """Return the fields of the status."""
        return known(
            {
                "state": str(self.state),
                "conditions": conditions(
                    self.state,
                    message=self.message or "",
                    since=self.created_at if self.completion_time is None else self.completion_time,
                ),
                "counts": dict(counts),
                "failedTasks": sum(counts.get(state, 0) for state in UNSUCCESSFUL_TASK_STATES) or None,
                "progress": f"{finished}/{self.total}",
                "failedTask": failed_task,
                "reason": self.reason,
                "message": self.message,
                **clock.fields(),
                "completionTime": None if self.completion_time is None else rfc3339(self.completion_time),
                "outputs": self.outputs or None,
                "shutdown": None if self.shutdown is None else self.shutdown.entry(),
                "retryOf": self.ancestor,
            }
        )


def conditions(state: RunState, *, message: str, since: float) -> list[dict[str, Any]]:
    """Return the conditions of a run in a state.

    Args:
        state: the run's state.
        message: why, for people.
        since: when the conditions last changed, seconds since the epoch.

    Returns:
        `Succeeded` and `Finished`, as `metav1.Condition`.
    """
    is_finished = state in FINAL_RUN_STATES
    succeeded = "Unknown" if not is_finished else "True" if state in SUCCESSFUL_RUN_STATES else "False"
    return [
        {
            "type": kind,
            "status": status,
            "reason": str(state),
            "message": message,
            "lastTransitionTime": rfc3339(int(since)),
        }
        for kind, status in (("Succeeded", succeeded), ("Finished", "True" if is_finished else "False"))
    ]


class RunStatus:
    """Collects changes of the status, and tracks which of them are stored.

    Args:
        tasks: the tasks, in the order of the spec.
        head: the part about the run as a whole.
        clock: the run's.
    """

    def __init__(self, tasks: Sequence[TaskRun], head: Head, clock: RunClock) -> None:
        self.head = head
        self._clock = clock
        self.stored_version = 0
        self.finished_tasks = 0
        self.is_urgent = True
        self._tasks = tasks
        self._version = 1
        self._versions = [0] * len(tasks)
        self._dirty: dict[int, None] = {}
        self._states = [task.state for task in tasks]
        self._counts = Counter(self._states)
        self._first_failed = len(tasks)
        """Position of the first task that failed."""
        self._is_whole_due = True
        self._sent: dict[str, Any] = {}
        self._sent_version = 0

    @property
    def is_dirty(self) -> bool:
        """Whether something changed since the last `changes`."""
        return self._version > self._sent_version

    def mark_changed(self, task: TaskRun) -> None:
        """Record that a task's entry changed."""
        self._version += 1
        self._versions[task.plan.position] = self._version
        self._dirty[task.plan.position] = None
        self._count(task)

    def _count(self, task: TaskRun) -> None:
        state, before = task.state, self._states[task.plan.position]
        if state is not before:
            self._counts[before] -= 1
            self._counts[state] += 1
            self._states[task.plan.position] = state
            if state in FAILED_TASK_STATES:
                self._first_failed = min(self._first_failed, task.plan.position)

    def _failed_task(self) -> str | None:
        """Return the name of the first task that failed; None if none did."""
        return self._tasks[self._first_failed].plan.name if self._first_failed < len(self._tasks) else None

    def counts(self) -> dict[str, int]:
        """Return the number of tasks in each state."""
        for position in self._dirty:
            self._count(self._tasks[position])
        return {str(state): count for state, count in self._counts.items() if count}

    def version_of(self, task: TaskRun) -> int:
        """Return the version of a task's last change."""
        return self._versions[task.plan.position]

    def finish_task(self, task: TaskRun) -> None:
        """Record that a task has finished."""
        self.finished_tasks += 1
        self.mark_changed(task)

    def mark_head_changed(self, *, is_urgent: bool = False) -> int:
        """Record that something about the run as a whole changed; returns the version of that change."""
        self.is_urgent = self.is_urgent or is_urgent
        self._version += 1
        return self._version

    def set_state(self, state: RunState, reason: str | None = None, message: str | None = None) -> None:
        """Record the run's state. Every state but Running is urgent, because callers may wait for it."""
        self.head.state, self.head.reason, self.head.message = state, reason, message
        self.mark_head_changed(is_urgent=state is not RunState.RUNNING)

    def set_reason(self, reason: str | None, message: str | None) -> None:
        """Record what keeps tasks of an unfinished run from starting. It is news, but nothing waits for it."""
        self.head.reason, self.head.message = reason, message
        self.mark_head_changed()

    def finish_run(
        self, state: RunState, reason: str | None, message: str | None, outputs: dict[str, Any], completed_at: float
    ) -> None:
        """Record how the run ended."""
        self.head.outputs, self.head.completion_time = outputs, completed_at
        self.set_state(state, reason, message)

    def summary(self) -> str:
        """Return the progress of the run in one line."""
        counts = self.counts()
        words = ", ".join(f"{counts[state]} {state}" for state in sorted(counts))
        return f"{self.finished_tasks} of {len(self._tasks)} tasks finished ({words})"

    def take_changes(self) -> Changes:
        """Return the changes that are not stored, and count them as sent; `return_changes` undoes that."""
        counts = self.counts()
        fields = self.head.fields(counts, self.finished_tasks, self._clock, failed_task=self._failed_task())
        if not fields["conditions"][0]["message"]:
            summary = self.summary()
            for condition in fields["conditions"]:
                condition["message"] = summary
        positions = tuple(self._dirty)
        before, self._sent = self._sent, fields
        self._dirty.clear()
        self._sent_version = self._version
        self.is_urgent = False
        if self._is_whole_due:
            self._is_whole_due = False
            status = fields | {
                "engine": ENGINE_VERSION,
                "params": dict(self.head.params),
                "tasks": [task.entry() for task in self._tasks],
            }
            return Changes(self._version, status, [], positions, {})
        operations: list[dict[str, Any]] = [
            {"op": "add", "path": f"/status/{name}", "value": value}
            for name, value in fields.items()
            if before.get(name) != value
        ]
        operations += [{"op": "remove", "path": f"/status/{name}"} for name in before if name not in fields]
        operations += [
            {"op": "replace", "path": f"/status/tasks/{position}", "value": self._tasks[position].entry()}
            for position in sorted(positions)
        ]
        return Changes(self._version, None, operations, positions, before)

    def return_changes(self, changes: Changes) -> None:
        """Record that changes could not be stored: they become part of the next ones."""
        self._dirty.update(dict.fromkeys(changes.positions))
        self._sent = changes.fields
        self._is_whole_due = self._is_whole_due or changes.status is not None
        self._sent_version = self.stored_version
        self._version += 1

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Restore the tasks and the head from a stored status.

        Raises:
            StoredStatusError: it cannot be read, or is of another plan or engine.
        """
        entries = stored["tasks"]
        names = [entry.get("name") for entry in entries]
        if names != [task.plan.name for task in self._tasks]:
            raise StoredStatusError(
                "status.tasks does not match the run's revision: something else changed the status; start a new run"
            )
        if stored.get("engine") != ENGINE_VERSION:
            raise StoredStatusError(
                f"the run began with engine {stored.get('engine')}, but this operator has engine {ENGINE_VERSION}: "
                "start a new run, or run an operator of the version that created it"
            )
        try:
            for task, entry in zip(self._tasks, entries, strict=True):
                task.restore(entry)
            head = self.head
            head.state = RunState(stored.get("state", RunState.PENDING))
            head.reason, head.message = stored.get("reason"), stored.get("message")
            head.outputs = dict(stored.get("outputs") or {})
            head.ancestor = stored.get("retryOf")
            if "completionTime" in stored:
                head.completion_time = epoch(stored["completionTime"])
            if "shutdown" in stored:
                head.shutdown = Shutdown.restore(stored["shutdown"])
            self._clock.restore(stored)
            head.created_at = epoch(stored["conditions"][0]["lastTransitionTime"])
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise StoredStatusError(f"cannot read the stored status: {error!r}") from error
        self.finished_tasks = sum(task.state in FINAL_TASK_STATES for task in self._tasks)
        self._is_whole_due = False
        self._sent = {
            name: stored[name]
            for name in (
                "state",
                "conditions",
                "counts",
                "failedTasks",
                "progress",
                "failedTask",
                "reason",
                "message",
                "startTime",
                "pausedSince",
                "pausedMilliseconds",
                "completionTime",
                "outputs",
                "shutdown",
                "retryOf",
            )
            if name in stored
        }

    def mark_restored(self) -> None:
        """Count everything up to now as stored: it was read from the stored status."""
        self._dirty.clear()
        self._states = [task.state for task in self._tasks]
        self._counts = Counter(self._states)
        failed = (position for position, state in enumerate(self._states) if state in FAILED_TASK_STATES)
        self._first_failed = next(failed, len(self._tasks))
        self._sent_version = self.stored_version = self._version
        self.is_urgent = False
