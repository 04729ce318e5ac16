"""The part of a run's spec that may change while it runs, as the machine takes it."""

from __future__ import annotations

from penstock.api.duration import duration_s
from penstock.api.flowrun import FlowRunSpec
from penstock.engine.machine.facts import ApprovalDecision, Control


def read_control(spec: FlowRunSpec) -> Control:
    """Return the part of a run's spec that may change."""
    return Control(
        is_suspended=bool(spec.suspend),
        shutdown=spec.shutdown,
        approvals={one.task: ApprovalDecision(one.decision == "Approve", one.comment) for one in spec.approvals or ()},
        timeout_s=None if spec.timeout is None else duration_s(spec.timeout),
    )
