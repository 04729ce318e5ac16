"""What the machine is told: the world as it is now, in the machine's own words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple


class Cause(Enum):
    """Who ended an attempt."""

    SUCCESS = "success"
    FAILURE = "failure"
    """The task itself: charged to `retry.limit`."""
    DISRUPTION = "disruption"
    """The infrastructure: charged to `retry.infrastructure`."""


class Outcome(NamedTuple):
    """How an attempt ended."""

    cause: Cause
    finished_at: float
    """Seconds since the epoch."""
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None
    outputs: dict[str, Any] | None = None


class UnitKey(NamedTuple):
    """One task of a run, or one item of its fan-out."""

    task: str
    item: int | None = None
    """Index of the item."""


@dataclass(frozen=True, slots=True)
class AttemptSeen:
    """The Pod of one attempt as it is now.

    Attributes:
        key: the task or item.
        attempt: number of the attempt, from 1.
        failures: attempts charged to `retry.limit` before this one.
        disruptions: attempts charged to `retry.infrastructure` before this one.
        pod: name of the Pod.
        uid: uid of the Pod.
        created_at: creation time, seconds since the epoch.
        started_at: start of the container `main`, if it has started.
        node: name of the node, once there is one.
        outcome: how it ended, if it has.
        waiting_reason: why it does not start, if that is known.
        waiting_message: the same for people.
        is_finished: the whole Pod is over, not only the container `main`.
        is_deleting: the Pod has a deletion timestamp.
        is_tracked: the Pod has the tracking finalizer.
        lost_at: when a Pod that should be gone counts as lost with its node, seconds since the epoch.
    """

    key: UnitKey
    attempt: int
    failures: int
    disruptions: int
    pod: str
    uid: str
    created_at: float
    started_at: float | None = None
    node: str | None = None
    outcome: Outcome | None = None
    waiting_reason: str | None = None
    waiting_message: str | None = None
    is_finished: bool = False
    is_deleting: bool = False
    is_tracked: bool = True
    lost_at: float | None = None


class AttemptGone(NamedTuple):
    """The Pod of one attempt does not exist any more, and no outcome of it was seen."""

    key: UnitKey
    attempt: int


class CreateRefused(NamedTuple):
    """The API server refused an attempt's Pod for good."""

    key: UnitKey
    attempt: int
    message: str


class CreateHeld(NamedTuple):
    """An attempt's Pod can't be created yet: a quota is full."""

    key: UnitKey
    attempt: int
    message: str


Fact = AttemptSeen | AttemptGone | CreateRefused | CreateHeld
