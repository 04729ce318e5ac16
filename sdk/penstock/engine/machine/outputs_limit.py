"""The limit on the outputs of all tasks of a run together."""

from __future__ import annotations

from typing import Final

from penstock.engine.machine.facts import Cause, Outcome
from penstock.engine.machine.tasks.items import json_size
from penstock.engine.reasons import Reason

OUTPUTS_BYTES: Final = 384 * 1024
"""Most bytes of outputs of all tasks together, as compact JSON: the status must stay below an object's limit."""


def limit_outputs(outcome: Outcome, *, used_bytes: int) -> Outcome:
    """Return an outcome as it is, or a failure if its outputs do not fit into the status any more.

    Args:
        outcome: how an attempt ended.
        used_bytes: bytes of the run's outputs so far.
    """
    if outcome.outputs is None:
        return outcome
    size = json_size(outcome.outputs)
    if used_bytes + size <= OUTPUTS_BYTES:
        return outcome
    message = (
        f"{size} bytes of outputs would bring the run above its limit of {OUTPUTS_BYTES} bytes: "
        "write large data to storage and output its location"
    )
    return Outcome(Cause.FAILURE, outcome.finished_at, Reason.INVALID_OUTPUTS, message, outcome.exit_code)
