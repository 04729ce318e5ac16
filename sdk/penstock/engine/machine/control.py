"""The part of a run's spec that may change while it runs, as the machine takes it."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.api.duration import duration_s
from penstock.api.flow_run import ApprovalDecision as GivenDecision
from penstock.api.flow_run import FlowRunSpec
from penstock.engine.audit import SHUTDOWN_DEEDS, DecisionRecord, read_decisions, read_record
from penstock.engine.machine.facts import ApprovalDecision, Control


def read_control(
    spec: FlowRunSpec, annotations: Mapping[str, str] | None = None, *, has_proofs: bool = False
) -> Control:
    """Return the part of a run's spec that may change.

    Args:
        spec: of the run.
        annotations: of the run in a cluster, which record who changed it; None: it runs on the machine of whoever
            decides.
        has_proofs: whether no one but the API server can have written the records.
    """
    recorded = annotations or {}
    decisions = read_decisions(recorded)
    return Control(
        is_suspended=bool(spec.suspend),
        shutdown=spec.shutdown,
        approvals={
            one.task: _decision(one, decisions.get(one.task), has_proofs=has_proofs) for one in spec.approvals or ()
        },
        timeout_s=None if spec.timeout is None else duration_s(spec.timeout),
        suspended_by=read_record(recorded, "suspended" if spec.suspend else "resumed"),
        shutdown_by=None if spec.shutdown is None else read_record(recorded, SHUTDOWN_DEEDS[spec.shutdown]),
        has_approvers=annotations is not None,
    )


def _decision(given: GivenDecision, record: DecisionRecord | None, *, has_proofs: bool) -> ApprovalDecision:
    if record is not None and record.decision != given.decision:
        record = None
    return ApprovalDecision(given.decision == "Approve", given.comment, record, has_proofs and record is not None)
