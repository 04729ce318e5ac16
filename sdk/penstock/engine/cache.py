"""The cache of task outputs: which runs share them, and when a lock on them is void. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.engine.intervals import decode_intervals
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.state import FINAL_RUN_STATES, FINAL_TASK_STATES
from penstock.errors import StoredStatusError


def flow_scope(flow: str | None, inline_digest: str) -> str:
    """Return which runs may share outputs: those of one Flow, or those with one and the same inline spec.

    Args:
        flow: name of the Flow; None for an inline spec.
        inline_digest: digest of the inline spec, if it is one.
    """
    return f"flow/{flow}" if flow is not None else f"inline/{inline_digest}"


def carries_code(outputs: Mapping[str, Any]) -> bool:
    """Whether a task that takes outputs as a Python result would unpickle them, which runs code."""
    stored = outputs.get("stored")
    return "pickle" in outputs or (isinstance(stored, Mapping) and stored.get("as") != "exact")


def has_outputs(status: Mapping[str, Any], key: TaskInstanceKey, outputs: Mapping[str, Any]) -> bool:
    """Whether a run's status says that a task or item has these outputs.

    Args:
        status: the stored status.
        key: the task or item.
        outputs: the outputs.
    """
    entry = next((entry for entry in status.get("tasks") or () if entry.get("name") == key.task), None)
    found = None if entry is None else entry.get("outputs")
    if key.item is None:
        return bool(found == outputs)
    return isinstance(found, list) and key.item < len(found) and bool(found[key.item] == outputs)


def is_run_finished(status: Mapping[str, Any]) -> bool:
    """Whether a run has finished, by its status."""
    return status.get("state") in FINAL_RUN_STATES


def is_task_instance_finished(status: Mapping[str, Any], key: TaskInstanceKey) -> bool:
    """Whether a task or item has finished, by its run's status.

    Args:
        status: the stored status.
        key: the task or item.

    Returns:
        False if the status cannot be read: then a task waits for the lock rather than run twice.
    """
    entry = next((entry for entry in status.get("tasks") or () if entry.get("name") == key.task), None)
    if entry is None:
        return False
    if entry.get("state") in FINAL_TASK_STATES:
        return True
    if key.item is None:
        return False
    indexes = (entry.get("items") or {}).get("indexes") or {}
    try:
        return any(key.item in decode_intervals(text) for text in indexes.values())
    except StoredStatusError:
        return False
