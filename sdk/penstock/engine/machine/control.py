"""What of a run's spec may change while it runs, in the engine's words."""

from __future__ import annotations

from penstock.api.duration import duration_s
from penstock.api.flowrun import FlowRunSpec
from penstock.engine.machine.facts import ApprovalDecision, Control


def read_control(spec: FlowRunSpec) -> Control:
    """Read what a run's spec says about how it goes on."""
    return Control(
        is_suspended=bool(spec.suspend),
        shutdown=spec.shutdown,
        approvals={one.task: ApprovalDecision(one.decision == "Approve", one.comment) for one in spec.approvals or ()},
        timeout_s=None if spec.timeout is None else duration_s(spec.timeout),
    )
