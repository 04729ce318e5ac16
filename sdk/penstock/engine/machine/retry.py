"""When a failed attempt is made again."""

from __future__ import annotations

from typing import Final

from penstock.engine.backoff import backed_off_s, jittered_s
from penstock.engine.compiler.plan import RetryPolicy
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.facts import Cause
from penstock.engine.names import task_instance_digest

DISRUPTION_DELAY_S: Final = 1.0
"""Least wait after the first disruption, doubled by each further one: nodes that refuse are not asked at full speed."""
MAX_DISRUPTION_DELAY_S: Final = 60.0


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
        cause: who ended the last attempt.
        failures: attempts charged to `retry.limit`, the last one included.
        disruptions: attempts charged to `retry.infrastructure`, the last one included.
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
