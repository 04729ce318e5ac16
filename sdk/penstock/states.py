"""States of runs, for flows that return or inspect them."""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.authoring.runs.states import (
    AwaitingConcurrencySlot,
    AwaitingRetry,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    InfrastructurePending,
    Late,
    Paused,
    Pending,
    Retrying,
    Running,
    Scheduled,
    Skipped,
    State,
    StateType,
    Submitting,
    Suspended,
    TimedOut,
    aget_state_exception,
    araise_state_exception,
    get_state_exception,
    get_state_result,
    raise_state_exception,
)

__all__ = [
    "AwaitingConcurrencySlot",
    "AwaitingRetry",
    "Cancelled",
    "Cancelling",
    "Completed",
    "Crashed",
    "Failed",
    "InfrastructurePending",
    "Late",
    "Paused",
    "Pending",
    "Retrying",
    "Running",
    "Scheduled",
    "Skipped",
    "State",
    "StateType",
    "Submitting",
    "Suspended",
    "TimedOut",
    "aget_state_exception",
    "araise_state_exception",
    "get_state_exception",
    "get_state_result",
    "raise_state_exception",
]

refuse_others(__name__)
