"""Conditions of long-lived objects, written only when they say something new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.engine.timestamp import rfc3339


def ready_condition(  # noqa: PLR0913 - keyword-only, named at every call
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
    status = "True" if is_ready else "False"
    known = next((one for one in stored.get("conditions") or () if one["type"] == "Ready"), None)
    since = known["lastTransitionTime"] if known is not None and known["status"] == status else rfc3339(int(now))
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
        "observedGeneration": generation,
    }
