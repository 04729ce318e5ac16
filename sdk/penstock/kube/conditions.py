"""Conditions of long-lived objects, written only when they say something new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.engine.timestamp import rfc3339


def ready_condition(
    stored: Mapping[str, Any], *, is_ready: bool, reason: str, message: str, generation: int, now: float
) -> dict[str, Any]:
    """Return the condition `Ready`.

    Args:
        stored: the object's stored status; its transition time is kept while the verdict is the same.
        is_ready: the verdict.
        reason: CamelCase word for programs.
        message: text for people.
        generation: of the spec that was looked at.
        now: seconds since the epoch.
    """
    return condition(
        stored,
        "Ready",
        "True" if is_ready else "False",
        reason=reason,
        message=message,
        generation=generation,
        now=now,
    )


def condition(
    stored: Mapping[str, Any], kind: str, status: str, *, reason: str, message: str, generation: int, now: float
) -> dict[str, Any]:
    """Return a condition.

    Args:
        stored: the object's stored status; the condition's transition time is kept while its status is the same.
        kind: its type.
        status: True, False or Unknown.
        reason: CamelCase word for programs.
        message: text for people.
        generation: of the spec that was looked at.
        now: seconds since the epoch.
    """
    known = next((one for one in stored.get("conditions") or () if one["type"] == kind), None)
    since = known["lastTransitionTime"] if known is not None and known["status"] == status else rfc3339(int(now))
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }
