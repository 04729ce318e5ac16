"""Groups of reasons that the machine treats alike."""

from __future__ import annotations

from typing import Final

from penstock.engine.reasons import Reason

TIMEOUT_REASONS: Final = frozenset({Reason.DEADLINE_EXCEEDED, Reason.TASK_DEADLINE_EXCEEDED, Reason.APPROVAL_TIMEOUT})
"""Reasons of attempts that took too long."""
WAITING_REASONS: Final = frozenset(
    {
        Reason.QUEUE_TIMEOUT,
        Reason.IMAGE_PULL_FAILED,
        Reason.UNSCHEDULABLE,
        Reason.WORKSPACE_UNBOUND,
        Reason.CLAIM_UNBOUND,
        Reason.MOUNT_FAILED,
        Reason.SANDBOX_FAILED,
        Reason.SIDECAR_FAILED,
        Reason.CONTAINER_CONFIG_ERROR,
        Reason.QUOTA_EXCEEDED,
        Reason.ADMISSION_QUEUE,
        Reason.CACHE_BUSY,
    }
)
"""Reasons why an attempt does not start; after the queueTimeout, why it never did."""
HELD_REASONS: Final = frozenset({Reason.QUOTA_EXCEEDED, Reason.ADMISSION_QUEUE, Reason.CACHE_BUSY})
"""Those of them that end by themselves when others make room or finish."""
CANCELLING_REASONS: Final = frozenset(
    {
        Reason.RUN_TIMED_OUT,
        Reason.FINALLY_TIMED_OUT,
        Reason.RUN_DRAINED,
        Reason.RUN_CANCELLED,
        Reason.RUN_TERMINATED,
        Reason.RUN_REPLACED,
        Reason.PARENT_ENDED,
    }
)
"""Reasons of attempts that were stopped together with their run. They are not retried."""
