"""One task of a run: its instance or its items, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from penstock.engine.compiler.task_plan import TaskKind, TaskPlan
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.entry import known
from penstock.engine.machine.tasks.items import Items
from penstock.engine.machine.tasks.kept_tasks import completed_items
from penstock.engine.machine.tasks.obstacles import summarize_items
from penstock.engine.machine.tasks.task_instance import Clocks, TaskInstance
from penstock.engine.state import COMPLETED_TASK_STATES, FINAL_TASK_STATES, TaskState
from penstock.engine.timestamp import epoch, rfc3339

KEPT_ATTEMPTS: Final = 10
"""Failed attempts that a task's entry shows."""


class TaskRun:
    """The state of one task.

    Args:
        plan: the compiled task.
    """

    def __init__(self, plan: TaskPlan) -> None:
        self.plan = plan
        self._clocks = Clocks(plan.queue_timeout_s is not None, plan.deadline_s is not None)
        self.instance: TaskInstance | None = None
        self.items: Items | None = None
        self.values: list[Any] | None = None
        """The values of the items, once they are needed."""
        self.context: dict[str, Any] | None = None
        """The values of the task's expressions. They do not change any more once the task starts."""
        self.outputs: dict[str, Any] | None = None
        self.reason: str | None = None
        self.message: str | None = None
        self.completion_time: float | None = None
        self.attempts: list[dict[str, Any]] = []
        self.source: str | None = None
        """The run from which a final state was taken, if that is another one."""
        self.kept: Mapping[str, Any] | None = None
        """The entry of a fan-out of a run that is retried, some items of which are kept."""
        self.is_admitted = False
        """Whether `when` was true. It is evaluated once."""
        self._final: TaskState | None = None

    @property
    def state(self) -> TaskState:
        """The task's state."""
        if self._final is not None:
            return self._final
        if self.instance is not None:
            return self.instance.state
        return TaskState.PENDING if self.items is None else TaskState.RUNNING

    @property
    def is_begun(self) -> bool:
        """Whether an attempt of it, or of an item of it, was started."""
        return self.instance is not None or self.items is not None

    def key(self, index: int | None) -> TaskInstanceKey:
        """Name the task, or one item of it."""
        return TaskInstanceKey(self.plan.name, index)

    @property
    def is_tolerated(self) -> bool:
        """Whether its failure does not fail the run."""
        return self.plan.fan_out is None and self.plan.allow_failed.of(1) > 0

    def begin_instance(self, index: int | None) -> TaskInstance:
        """Make the task, or one item of it, live."""
        if index is None:
            self.instance = TaskInstance()
            return self.instance
        assert self.items is not None
        return self.items.begin_item(index)

    def live_instances(self) -> Iterator[tuple[int | None, TaskInstance]]:
        """Iterate over the task or its items that have started and have not finished."""
        if self._final is not None:
            return
        if self.items is not None:
            yield from list(self.items.live.items())
        elif self.instance is not None:
            yield None, self.instance

    def live_task_instance(self, index: int | None) -> TaskInstance | None:
        """Return the task or item if it is live."""
        if self._final is not None:
            return None
        if index is None:
            return self.instance
        return None if self.items is None else self.items.live.get(index)

    def is_task_instance_finished(self, index: int | None) -> bool:
        """Whether the task, or the item, has finished."""
        if self._final is not None:
            return True
        return index is not None and self.items is not None and self.items.is_item_finished(index)

    def finish(self, state: TaskState, reason: str | None, message: str | None, now: float) -> None:
        """Reach a final state."""
        assert state in FINAL_TASK_STATES
        self._final, self.reason, self.message, self.completion_time = state, reason, message, now
        self.values = self.context = self.kept = None

    def open_items(self, total: int) -> None:
        """Set the number of items. Items that a retried run completed have finished already."""
        kept = None if self.kept is None else completed_items(self.kept)
        if kept is not None and kept["total"] == total:
            assert self.kept is not None
            self.items = Items.restore(kept, self.kept.get("outputs"))
        else:
            self.items = Items(total)

    def record_failure(self, index: int | None, instance: TaskInstance) -> None:
        """Keep a failed attempt in the status."""
        if index is not None:
            assert self.items is not None
            self.items.record_failure(instance.attempt_entry(index))
        elif instance.state is TaskState.RETRYING:
            self.attempts = [*self.attempts[1 - KEPT_ATTEMPTS :], instance.attempt_entry(None)]

    def history_bytes(self) -> int:
        """Return the bytes that its failed attempts and its message take in the status."""
        attempts = [*self.attempts, *(self.items.failed if self.items is not None else ())]
        message = self.message or (self.instance.message if self.instance is not None else None)
        return sum(len(str(attempt)) for attempt in attempts) + len(message or "")

    def drop_attempts(self) -> bool:
        """Drop the failed attempts; returns whether there were any."""
        has_any = bool(self.attempts) or (self.items is not None and bool(self.items.failed))
        self.attempts = []
        if self.items is not None:
            self.items.failed = []
        return has_any

    def drop_message(self) -> bool:
        """Drop the message of a final state; returns whether there was one."""
        if self._final is None or not self.message:
            return False
        self.message = None
        if self.instance is not None:
            self.instance.message = None
        return True

    def as_value(self) -> dict[str, Any]:
        """Return the value of the task in expressions."""
        value: dict[str, Any] = {
            "state": str(self.state),
            # As plain text: expressions know no enumerations.
            "reason": None if self.reason is None else str(self.reason),
            "exitCode": None if self.instance is None else self.instance.exit_code,
            "message": self.message,
        }
        if self.items is not None:
            gathered = self.items.gathered_outputs()
            if gathered is not None:
                value["outputs"] = gathered
        elif self.state in COMPLETED_TASK_STATES:
            value["outputs"] = self.outputs or {}
        return value

    def entry(self) -> dict[str, Any]:
        """Return the task's entry of the status, without unknown fields."""
        instance = self.instance
        is_finished = self._final is not None
        outputs: Any = self.outputs
        if self.items is not None:
            outputs = self.items.gathered_outputs() if self.items.has_outputs else None
        entry: dict[str, Any] = {
            "name": self.plan.name,
            "state": str(self.state),
            "reason": self.reason,
            "message": self.message,
            "completionTime": None if self.completion_time is None else rfc3339(self.completion_time),
            "outputs": outputs,
            "attempts": self.attempts or None,
            "finally": self.plan.is_finally or None,
            "run": self.source,
        }
        if self.items is not None:
            started_at = self.items.started_at
            entry |= {
                "items": self.items.entry(self._clocks),
                "startTime": None if started_at is None else rfc3339(started_at),
            }
        if instance is not None:
            entry |= {
                "attempt": instance.attempt,
                "failures": instance.failures or None,
                "disruptions": instance.disruptions or None,
                "startTime": None if instance.started_at is None else rfc3339(instance.started_at),
                "exitCode": instance.exit_code,
                "node": instance.node,
                "run" if self.plan.kind is TaskKind.FLOW else "pod": instance.pod,
            }
        if self.items is not None and not is_finished and (waiting := summarize_items(self.items.live)) is not None:
            entry |= {"reason": waiting.reason, "message": waiting.message}
        if instance is not None and not is_finished:
            entry |= {
                "reason": instance.reason,
                "message": instance.message,
                "stopping": instance.stopping,
                **instance.clock_entry(self._clocks),
            }
        return known(entry)

    def restore(self, entry: Mapping[str, Any]) -> None:
        """Restore the task from a stored entry.

        Raises:
            StoredStatusError: the entry cannot be read.
        """
        state = TaskState(entry["state"])
        if "items" in entry:
            self.items = Items.restore(entry["items"], entry.get("outputs"))
            self.items.started_at = epoch(entry["startTime"]) if "startTime" in entry else None
        elif "attempt" in entry:
            self.instance = TaskInstance.restore(entry)
        if self.items is None:
            self.outputs = entry.get("outputs")
        self.attempts = list(entry.get("attempts", ()))
        if state in FINAL_TASK_STATES:
            self._final = state
            self.reason, self.message = entry.get("reason"), entry.get("message")
            if self.plan.kind is not TaskKind.FLOW:
                self.source = entry.get("run")
            if "completionTime" in entry:
                self.completion_time = epoch(entry["completionTime"])
