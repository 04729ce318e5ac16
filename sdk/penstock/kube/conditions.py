"""Conditions of long-lived objects, written only when they say something new."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from penstock.engine.timestamp import rfc3339


class Condition(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """`metav1.Condition`."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str
    observed_generation: int | None = None


def find_condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of a type; None if there is none."""
    return next((one for one in conditions if one.type == kind), None)


def ready_condition(
    stored: Iterable[Condition], *, is_ready: bool, reason: str, message: str, generation: int, now: float
) -> Condition:
    """Return the condition `Ready`; see `condition` for the arguments."""
    verdict = "True" if is_ready else "False"
    return condition(stored, "Ready", verdict, reason=reason, message=message, generation=generation, now=now)


def condition(
    stored: Iterable[Condition], kind: str, status: str, *, reason: str, message: str, generation: int, now: float
) -> Condition:
    """Return a condition.

    Args:
        stored: the object's conditions; the transition time is kept while the condition's status is the same.
        kind: its type.
        status: True, False or Unknown.
        reason: CamelCase word for programs.
        message: text for people.
        generation: of the spec that the condition is about.
        now: seconds since the epoch.
    """
    known = find_condition(stored, kind)
    is_same = known is not None and known.status == status
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=known.last_transition_time if known is not None and is_same else rfc3339(int(now)),
        observed_generation=generation,
    )
