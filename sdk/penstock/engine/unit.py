"""A unit of work: a task, or one item of a fan-out, with its attempts and its two budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.engine.entry import known
from penstock.engine.facts import AttemptSeen, Cause, Outcome, UnitKey
from penstock.engine.plan import RetryPolicy
from penstock.engine.reasons import Reason
from penstock.engine.retry import retry_delay_s
from penstock.engine.state import TaskState
from penstock.engine.timestamp import epoch, rfc3339


@dataclass(slots=True)
class Unit:
    """A started unit of work. Only its methods change its state.

    Attributes:
        attempt: number of the current or last attempt, from 1.
        failures: attempts charged to `retry.limit`.
        disruptions: attempts charged to `retry.infrastructure`.
        is_seen: whether a Pod of the current attempt was seen since the machine was built.
    """

    attempt: int = 1
    failures: int = 0
    disruptions: int = 0
    state: TaskState = TaskState.PENDING
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None
    pod: str | None = None
    uid: str | None = None
    node: str | None = None
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    wake_at: float | None = None
    stopping: str | None = None
    gone_due_at: float | None = None
    is_seen: bool = False

    def begin_next_attempt(self) -> None:
        """Turn to the next attempt, whose Pod is to be created."""
        self.attempt += 1
        self.state = TaskState.PENDING
        self.reason = self.message = self.exit_code = None
        self.pod = self.uid = self.node = None
        self.created_at = self.started_at = self.finished_at = self.gone_due_at = self.wake_at = None
        self.stopping = None
        self.is_seen = False

    def see(self, seen: AttemptSeen, now: float) -> bool:
        """Take over what a live Pod shows; returns whether anything changed that a person or a clock looks at."""
        before = (self.state, self.reason, self.message, self.pod, self.node, self.started_at, self.attempt)
        if seen.attempt > self.attempt:
            # Attempts whose end was never stored: the Pod carries the counters.
            self.attempt, self.failures, self.disruptions = seen.attempt, seen.failures, seen.disruptions
            self.wake_at = self.stopping = self.started_at = None
        self.is_seen = True
        self.pod, self.uid, self.node = seen.pod, seen.uid, seen.node or self.node
        self.created_at, self.gone_due_at = seen.created_at, seen.gone_due_at
        if seen.started_at is None:
            if self.started_at is None:
                self.state, self.reason, self.message = TaskState.PENDING, seen.waiting_reason, seen.waiting_message
        else:
            if self.started_at is None:
                # A node's clock may be wrong: neither before the creation nor after the first sight.
                self.started_at = max(seen.created_at, min(seen.started_at, now))
            self.state, self.reason, self.message = TaskState.RUNNING, None, None
        return before != (self.state, self.reason, self.message, self.pod, self.node, self.started_at, self.attempt)

    def hold(self, message: str) -> None:
        """Wait for a quota."""
        self.state, self.reason, self.message = TaskState.QUEUED, Reason.QUOTA_EXCEEDED, message

    def settle(self, outcome: Outcome, *, policy: RetryPolicy, run_uid: str, key: UnitKey) -> None:
        """Take over the end of the current attempt: charge it to its budget, and decide on another attempt."""
        outcome = self._override(outcome)
        self.reason, self.message, self.exit_code = outcome.reason, outcome.message, outcome.exit_code
        self.finished_at = outcome.finished_at
        if outcome.reason == Reason.RUN_TIMED_OUT:
            self.state = TaskState.CANCELLED
            return
        if outcome.cause is Cause.SUCCESS:
            self.state = TaskState.COMPLETED
            return
        if outcome.cause is Cause.DISRUPTION:
            self.disruptions += 1
            is_spent, final = self.disruptions > policy.infrastructure, TaskState.CRASHED
        else:
            self.failures += 1
            is_spent = self.failures > policy.limit
            final = TaskState.TIMED_OUT if outcome.reason == Reason.DEADLINE_EXCEEDED else TaskState.FAILED
        if is_spent:
            self.state = final
            return
        self.state = TaskState.RETRYING
        self.wake_at = outcome.finished_at + retry_delay_s(
            policy,
            cause=outcome.cause,
            failures=self.failures,
            disruptions=self.disruptions,
            run_uid=run_uid,
            key=key,
            attempt=self.attempt,
        )

    def fail(self, reason: Reason, message: str, now: float) -> None:
        """End for good without a budget: what is wrong stays wrong."""
        self.state, self.reason, self.message, self.finished_at = TaskState.FAILED, reason, message, now

    def _override(self, outcome: Outcome) -> Outcome:
        # The stored reason beats the exit code: a Pod that we stop ends by our signal, whatever code it returns.
        if self.stopping is None:
            return outcome
        message = {
            Reason.DEADLINE_EXCEEDED: "the attempt took longer than the task's timeout",
            Reason.RUN_TIMED_OUT: "the run took longer than its timeout",
        }.get(Reason(self.stopping))
        return Outcome(Cause.FAILURE, outcome.finished_at, self.stopping, message, outcome.exit_code)

    def live_entry(self, index: int) -> dict[str, Any]:
        """Return what the status keeps of an item that is not over."""
        return known(
            {
                "index": index,
                "attempt": self.attempt,
                "state": None if self.state is TaskState.PENDING else str(self.state),
                "failures": self.failures or None,
                "disruptions": self.disruptions or None,
                "startTime": None if self.started_at is None else rfc3339(self.started_at),
                "wakeTime": None if self.wake_at is None else rfc3339(self.wake_at),
                "stopping": self.stopping,
            }
        )

    def attempt_entry(self, index: int | None) -> dict[str, Any]:
        """Return what the status keeps of an attempt that failed."""
        return known(
            {
                "attempt": self.attempt,
                "index": index,
                "reason": self.reason,
                "message": self.message,
                "exitCode": self.exit_code,
                "pod": self.pod,
                "startTime": None if self.started_at is None else rfc3339(self.started_at),
                "completionTime": None if self.finished_at is None else rfc3339(self.finished_at),
            }
        )

    @classmethod
    def restore(cls, entry: Mapping[str, Any]) -> Unit:
        """Build a unit from a stored entry of a task or a live item."""
        return cls(
            attempt=entry.get("attempt", 1),
            failures=entry.get("failures", 0),
            disruptions=entry.get("disruptions", 0),
            state=TaskState(entry.get("state", TaskState.PENDING)),
            reason=entry.get("reason"),
            message=entry.get("message"),
            exit_code=entry.get("exitCode"),
            pod=entry.get("pod"),
            node=entry.get("node"),
            started_at=epoch(entry["startTime"]) if "startTime" in entry else None,
            wake_at=epoch(entry["wakeTime"]) if "wakeTime" in entry else None,
            stopping=entry.get("stopping"),
        )
