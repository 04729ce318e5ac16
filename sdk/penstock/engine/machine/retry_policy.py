"""Whether a failed attempt may be retried, and after how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from penstock.engine.backoff import backed_off_s, jittered_s
from penstock.engine.compiler.task_plan import RetryPolicy
from penstock.engine.expressions.budget import unlimited
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.facts import Cause, Outcome
from penstock.engine.machine.reason_groups import CANCELLING_REASONS
from penstock.engine.names import task_instance_digest
from penstock.engine.reasons import Reason
from penstock.errors import ExpressionError

DISRUPTION_DELAY_S: Final = 1.0
"""Least wait after the first disruption, doubled by each further one, so that nodes that refuse are not flooded."""
MAX_DISRUPTION_DELAY_S: Final = 60.0


def why_not_retried(policy: RetryPolicy, outcome: Outcome, *, attempt: int, params: Mapping[str, Any]) -> str | None:
    """Return why a failure is final although `retry.limit` may permit another attempt; None if it is not.

    Args:
        policy: the task's policy.
        outcome: the failure.
        attempt: number of the attempt that failed.
        params: the run's, for `retry.when`.
    """
    if outcome.reason == Reason.TOO_DEEP:
        return "a retry would exceed the same nesting limit"
    if outcome.exit_code is not None and outcome.exit_code in policy.non_retryable_exit_codes:
        return f"exit code {outcome.exit_code} is one of retry.nonRetryableExitCodes"
    if policy.when is None or outcome.reason in CANCELLING_REASONS:
        return None
    failure = {
        # As plain text: expressions know no enumerations.
        "reason": None if outcome.reason is None else str(outcome.reason),
        "exitCode": outcome.exit_code,
        "message": outcome.message if outcome.raw_message is None else outcome.raw_message,
        "attempt": attempt,
    }
    try:
        # The verdict cannot wait.
        with unlimited():
            may_retry = policy.when.evaluate_condition({"params": params, "failure": failure})
    except ExpressionError as error:
        return f"retry.when: {error}"
    return None if may_retry else f"retry.when is false: {policy.when.source}"


def retry_delay_s(
    policy: RetryPolicy,
    *,
    cause: Cause,
    failures: int,
    disruptions: int,
    run_uid: str,
    key: TaskInstanceKey,
    attempt: int,
) -> float:
    """Return the wait before the next attempt, in seconds.

    Args:
        policy: the task's policy.
        cause: what ended the last attempt.
        failures: attempts counted against `retry.limit`, the last one included.
        disruptions: attempts counted against `retry.infrastructure`, the last one included.
        run_uid: uid of the run.
        key: the task or item.
        attempt: number of the attempt that ended.

    Returns:
        The same for the same arguments in any process, so that a restarted operator computes the same time.
    """
    turn = max(failures + disruptions - 1, 0)
    delay_s = backed_off_s(policy.delay_s, factor=float(policy.factor), max_delay_s=policy.max_delay_s, turn=turn)
    delay_s = jittered_s(delay_s, jitter=policy.jitter, digest=task_instance_digest(run_uid, key, attempt))
    if cause is Cause.DISRUPTION:
        floor_s = backed_off_s(
            DISRUPTION_DELAY_S, factor=2.0, max_delay_s=MAX_DISRUPTION_DELAY_S, turn=max(disruptions - 1, 0)
        )
        delay_s = max(delay_s, floor_s)
    return delay_s
