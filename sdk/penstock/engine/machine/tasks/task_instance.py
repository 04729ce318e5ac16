"""A task instance: a task without forEach, or one item of a fan-out, with its attempts and its two budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from penstock.engine.compiler.task_plan import RetryPolicy
from penstock.engine.failure_message import add_to_first_line, headline
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.entry import known
from penstock.engine.machine.facts import AttemptSeen, Cause, Outcome
from penstock.engine.machine.reason_groups import CANCELLING_REASONS, TIMEOUT_REASONS, WAITING_REASONS
from penstock.engine.machine.retry_policy import retry_delay_s
from penstock.engine.reasons import REASONS, Reason
from penstock.engine.state import TaskState
from penstock.engine.timestamp import epoch, rfc3339

STOP_MESSAGES: Final = {
    Reason.DEADLINE_EXCEEDED: "the attempt took longer than the task's timeout",
    Reason.TASK_DEADLINE_EXCEEDED: "all attempts together took longer than the task's deadline",
    Reason.RUN_TIMED_OUT: "the run took longer than its timeout",
    Reason.FINALLY_TIMED_OUT: "the finally tasks took longer than finallyTimeout",
    Reason.APPROVAL_TIMEOUT: "no decision within approval.timeout",
}
"""Messages of stopped attempts; for other reasons their meaning."""
TIME_LIMITS: Final = frozenset({Reason.TASK_DEADLINE_EXCEEDED, Reason.RUN_TIMED_OUT, Reason.FINALLY_TIMED_OUT})
"""Limits whose time a wait uses up: the message keeps what an attempt waited for."""
WAS_WAITING: Final = "; it was waiting: "
"""In a message before what an attempt waited for when a time limit expired."""


class Clocks(NamedTuple):
    """Which timeouts a task has whose start time must be stored."""

    has_queue_timeout: bool = False
    has_deadline: bool = False


@dataclass(slots=True)
class TaskInstance:
    """A started task or item. Only its methods change its state.

    Attributes:
        attempt: number of the current or last attempt, from 1.
        failures: attempts counted against `retry.limit`.
        disruptions: attempts counted against `retry.infrastructure`.
        queued_at: since when the current attempt waits to start.
        began_at: when the first attempt was made.
        waiting_since: from when the wait for its present reason counts.
        held_at: when the current attempt was last seen in a queue.
        can_end_in_place: whether its Pod can be ended without being deleted.
        end_due_at: when its Pod should have ended, if it is being ended in this way.
        is_seen: whether a Pod of the current attempt was observed since the machine was built.
        is_sent: whether the current attempt's creation was requested since the machine was built.
        stop_version: of the status, from which on it says that the attempt is being stopped.
        version: of the Pod as it was last observed.
        is_granted: whether this run holds the lock of the cache to run it.
        cache_digest: digest of its cache key, if it was computed since the machine was built.
        counted_state: the state by which the run's counts of states include it.
        timer_at: the earliest time for which a timer is set.
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
    can_end_in_place: bool = False
    end_due_at: float | None = None
    queued_at: float | None = None
    began_at: float | None = None
    waiting_since: float | None = None
    held_at: float | None = None
    is_seen: bool = False
    is_sent: bool = False
    stop_version: int = 0
    version: int = 0
    is_granted: bool = False
    cache_digest: str | None = None
    counted_state: TaskState | None = None
    timer_at: float | None = None

    def begin_next_attempt(self) -> None:
        """Begin the next attempt, whose Pod is to be created."""
        self.attempt += 1
        self.state = TaskState.PENDING
        self.reason = self.message = self.exit_code = None
        self.pod = self.uid = self.node = None
        self.created_at = self.started_at = self.finished_at = self.wake_at = None
        self.gone_due_at = self.end_due_at = None
        self.stopping = self.queued_at = self.timer_at = self.waiting_since = self.held_at = None
        self.is_seen = self.is_sent = self.can_end_in_place = False

    def mark_requested(self, now: float) -> None:
        """Record that the current attempt is to be created: its wait begins."""
        if self.queued_at is None:
            self.queued_at = now
        if self.began_at is None:
            self.began_at = now

    def wait_for_approval(self, message: str, now: float) -> None:
        """Wait for a person's decision."""
        self.state, self.reason, self.message = TaskState.PAUSED, Reason.AWAITING_APPROVAL, message or None
        if self.started_at is None:
            self.started_at = now
        self.is_seen = True

    def apply_seen(self, seen: AttemptSeen, now: float) -> bool:
        """Update from an observed Pod; returns whether anything changed that the status or a deadline depends on."""
        before = (self.state, self.reason, self.message, self.pod, self.node, self.started_at, self.attempt)
        if seen.attempt > self.attempt:
            # The ends of earlier attempts were never stored: the Pod has the counters.
            self.attempt, self.failures, self.disruptions = seen.attempt, seen.failures, seen.disruptions
            self.wake_at = self.stopping = self.started_at = self.queued_at = None
        self.is_seen = True
        if seen.began_at is not None or self.began_at is None:
            self.began_at = seen.created_at if seen.began_at is None else seen.began_at
        if self.queued_at is None:
            self.queued_at = seen.created_at
        self.pod, self.uid, self.version, self.node = seen.pod, seen.uid, seen.version, seen.node or self.node
        self.created_at, self.gone_due_at = seen.created_at, seen.gone_due_at
        self.can_end_in_place, self.end_due_at = seen.can_end_in_place, seen.end_due_at
        if seen.started_at is not None and self.started_at is None:
            # A node's clock may be wrong: not before the creation, and not after the first observation.
            self.started_at = max(seen.created_at, min(seen.started_at, now))
        if seen.is_paused:
            self.state = TaskState.PAUSED
        elif self.started_at is not None:
            self.state = TaskState.RUNNING
        else:
            self.state = TaskState.QUEUED if seen.is_held else TaskState.PENDING
        if self.stopping is None and (seen.started_at is not None or self.started_at is None):
            self.reason, self.message = seen.waiting_reason, seen.waiting_message
        self._note_wait(seen, now)
        return before != (self.state, self.reason, self.message, self.pod, self.node, self.started_at, self.attempt)

    def _note_wait(self, seen: AttemptSeen, now: float) -> None:
        if seen.is_held:
            self.held_at = now
        if seen.waiting_reason is None:
            self.waiting_since = None
            return
        since = seen.waiting_since or self.waiting_since or now
        # The time in a queue does not count, and a Pod does not say when that ended.
        self.waiting_since = since if self.held_at is None else max(since, self.held_at)

    def mark_cached(self, now: float) -> None:
        """Complete without an attempt: the outputs come from the cache."""
        self.state, self.reason, self.message, self.finished_at = TaskState.CACHED, None, None, now

    def mark_queued(self, reason: Reason, message: str) -> None:
        """Wait for a quota, or for another run."""
        self.state, self.reason, self.message = TaskState.QUEUED, reason, message

    def end_attempt(
        self, outcome: Outcome, *, policy: RetryPolicy, run_uid: str, key: TaskInstanceKey, veto: str | None
    ) -> None:
        """End the current attempt: count it against its budget, and decide on another attempt.

        Args:
            outcome: the end, as returned by `apply_stop_reason`.
            policy: how failed attempts are retried.
            run_uid: uid of the run.
            key: the task or item.
            veto: why a failure of the task itself is final whatever its budget; None if it is not.
        """
        self.reason, self.message, self.exit_code = outcome.reason, outcome.message, outcome.exit_code
        self.finished_at = outcome.finished_at
        if outcome.reason in CANCELLING_REASONS:
            self.state = TaskState.CANCELLED
            return
        if outcome.reason == Reason.TASK_DEADLINE_EXCEEDED:
            self.state = TaskState.TIMED_OUT
            return
        if outcome.cause is Cause.SUCCESS:
            self.state = TaskState.COMPLETED
            return
        if outcome.cause is Cause.NOT_RUN:
            self.state = TaskState.SKIPPED
            return
        if outcome.cause is Cause.DISRUPTION:
            self.disruptions += 1
            is_spent, final = self.disruptions > policy.infrastructure, TaskState.CRASHED
        else:
            self.failures += 1
            is_spent = self.failures > policy.limit or veto is not None
            final = TaskState.TIMED_OUT if outcome.reason in TIMEOUT_REASONS | WAITING_REASONS else TaskState.FAILED
            if veto is not None and self.failures <= policy.limit:
                self.message = add_to_first_line(self.message or str(self.reason), f"; not retried: {veto}")
        if is_spent:
            self.state = final
            return
        self.state = TaskState.RETRYING
        self.stopping = self.gone_due_at = self.end_due_at = None
        self.wake_at = outcome.finished_at + retry_delay_s(
            policy,
            cause=outcome.cause,
            failures=self.failures,
            disruptions=self.disruptions,
            run_uid=run_uid,
            key=key,
            attempt=self.attempt,
        )

    def describe_retry(self, policy: RetryPolicy, outcome: Outcome) -> str:
        """Return which retry follows an attempt, of how many, and when: `retry 1 of 3 in 10 s`; empty if none does."""
        if self.state is not TaskState.RETRYING or self.wake_at is None:
            return ""
        is_disruption = outcome.cause is Cause.DISRUPTION
        used, limit = (self.disruptions, policy.infrastructure) if is_disruption else (self.failures, policy.limit)
        delay_s = round(self.wake_at - outcome.finished_at)
        return f"retry {used} of {limit} {f'in {delay_s} s' if delay_s else 'at once'}"

    def cancel_retry(self, reason: Reason) -> None:
        """Make no further attempt, although budget is left: the run is being stopped."""
        self.state, self.reason, self.message = (
            TaskState.CANCELLED,
            reason,
            STOP_MESSAGES.get(reason, REASONS[reason].meaning),
        )
        self.wake_at = None

    def fail_permanently(self, reason: Reason, message: str, now: float) -> None:
        """Fail without counting against a budget: another attempt would fail in the same way."""
        self.state, self.reason, self.message, self.finished_at = TaskState.FAILED, reason, message, now

    def apply_stop_reason(self, outcome: Outcome, *, queue_timeout: str) -> Outcome:
        """Return the outcome that counts for an attempt, with the name of the limit of its wait.

        The reason of a stop has precedence over the exit code: a Pod that we stop ends by our signal with any code.
        """
        if self.stopping is None:
            return outcome
        return Outcome(
            Cause.FAILURE,
            outcome.finished_at,
            self.stopping,
            self.stop_message(Reason(self.stopping), queue_timeout=queue_timeout),
            outcome.exit_code,
        )

    def stop_message(self, reason: Reason, *, queue_timeout: str) -> str:
        """Return the message of a stopped attempt, with the name of the limit of its wait."""
        if reason in WAITING_REASONS:
            return f"not started within {queue_timeout}{f': {self.message}' if self.message else ''}"
        message = STOP_MESSAGES.get(reason, REASONS[reason].meaning)
        # What runs has a reason if its node does not respond, or its child run waits.
        is_waiting = self.reason is not None and self.state in (TaskState.PENDING, TaskState.QUEUED, TaskState.RUNNING)
        if reason not in TIME_LIMITS or not is_waiting:
            return message
        return f"{message}{WAS_WAITING}{headline(self.reason, self.message)}"

    def live_entry(self, index: int, clocks: Clocks) -> dict[str, Any]:
        """Return the status entry of a live item."""
        return known(
            {
                "index": index,
                "attempt": self.attempt,
                "state": None if self.state is TaskState.PENDING else str(self.state),
                "failures": self.failures or None,
                "disruptions": self.disruptions or None,
                "startTime": None if self.started_at is None else rfc3339(self.started_at),
                **self.clock_entry(clocks),
                "stopping": self.stopping,
            }
        )

    def clock_entry(self, clocks: Clocks) -> dict[str, Any]:
        """Return the times that its deadlines need after a restart."""
        return {
            "wakeTime": None if self.wake_at is None else rfc3339(self.wake_at),
            "queueTime": rfc3339(self.queued_at) if clocks.has_queue_timeout and self.queued_at is not None else None,
            "beginTime": rfc3339(self.began_at) if clocks.has_deadline and self.began_at is not None else None,
        }

    def attempt_entry(self, index: int | None) -> dict[str, Any]:
        """Return the status entry of a failed attempt."""
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
    def restore(cls, entry: Mapping[str, Any]) -> TaskInstance:
        """Build an instance from a stored entry of a task or a live item."""
        return cls(
            attempt=entry.get("attempt", 1),
            failures=entry.get("failures", 0),
            disruptions=entry.get("disruptions", 0),
            state=TaskState(entry.get("state", TaskState.PENDING)),
            reason=entry.get("reason"),
            message=entry.get("message"),
            exit_code=entry.get("exitCode"),
            pod=entry.get("pod", entry.get("run")),
            node=entry.get("node"),
            started_at=epoch(entry["startTime"]) if "startTime" in entry else None,
            wake_at=epoch(entry["wakeTime"]) if "wakeTime" in entry else None,
            queued_at=epoch(entry["queueTime"]) if "queueTime" in entry else None,
            began_at=epoch(entry["beginTime"]) if "beginTime" in entry else None,
            stopping=entry.get("stopping"),
        )
