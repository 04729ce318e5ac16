"""What the machine asks for: writes to be made, each safe to make twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from penstock.engine.facts import UnitKey
from penstock.engine.state import RunState, TaskState
from penstock.engine.unit import Unit


@dataclass(frozen=True, slots=True)
class CreateAttempt:
    """Create the Pod of an attempt.

    Attributes:
        key: the task or item.
        attempt: number of the attempt, from 1.
        failures: attempts charged to `retry.limit` so far.
        disruptions: attempts charged to `retry.infrastructure` so far.
        args: arguments of the container, ready for a Pod.
        env: environment of the container, ready for a Pod.
    """

    key: UnitKey
    attempt: int
    failures: int
    disruptions: int
    args: list[str]
    env: list[dict[str, Any]]


class StopAttempt(NamedTuple):
    """Delete the Pod of an attempt that should not go on."""

    key: UnitKey
    attempt: int
    pod: str
    uid: str


class ReleaseAttempt(NamedTuple):
    """Take the tracking finalizer off a Pod whose outcome is stored."""

    pod: str
    uid: str


class VerifyAttempt(NamedTuple):
    """Find out whether the Pod of an attempt still exists, and tell the machine."""

    key: UnitKey
    attempt: int


class Conclusion(NamedTuple):
    """A task or item that has reached a final state: for metrics."""

    key: UnitKey
    state: TaskState
    duration_s: float
    """Time from its last container's start to its end; 0 if none started."""


class Notice(NamedTuple):
    """Something that a person who looks at the run should find among its Events."""

    is_warning: bool
    reason: str
    message: str
    identity: str
    """What makes it different from other notices of the run, the same in every process."""

    @classmethod
    def of_attempt(cls, key: UnitKey, unit: Unit) -> Notice:
        """Tell of an attempt that did not end well."""
        name = key.task if key.item is None else f"{key.task}[{key.item}]"
        text = f"task {name}: attempt {unit.attempt} ended: {unit.reason}: {unit.message or ''}".rstrip(": ")
        if unit.state is TaskState.RETRYING:
            return cls(
                is_warning=True,
                reason="TaskRetrying",
                message=f"{text}; tried again",
                identity=f"{name}/{unit.attempt}",
            )
        return cls(is_warning=True, reason=f"Task{unit.state}", message=text, identity=f"{name}/{unit.attempt}")

    @classmethod
    def of_run(cls, state: RunState, message: str) -> Notice:
        """Tell how the run ended."""
        return cls(is_warning=state is not RunState.COMPLETED, reason=str(state), message=message, identity="run")


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from what was observed.

    Attributes:
        creates: Pods to create.
        stops: Pods to delete.
        releases: Pods to let go.
        verifies: Pods to look for.
        conclusions: tasks and items that are over, for metrics.
        notices: what a person should be told.
        wake_at: when to advance again even if nothing happens, seconds since the epoch.
        is_changed: the status has something new to store.
        is_urgent: the run's state changed, so it should be stored at once.
    """

    creates: list[CreateAttempt]
    stops: list[StopAttempt]
    releases: list[ReleaseAttempt]
    verifies: list[VerifyAttempt]
    conclusions: list[Conclusion]
    notices: list[Notice]
    wake_at: float | None
    is_changed: bool
    is_urgent: bool
