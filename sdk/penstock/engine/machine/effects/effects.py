"""What the machine asks for: writes to make, each safe to make twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.effects.inputs import ChildInputs, ContainerInputs
from penstock.engine.machine.effects.notices import Notice
from penstock.engine.state import TaskState


@dataclass(frozen=True, slots=True)
class CreateAttempt:
    """Create the Pod, Job or child run of an attempt, as the task's plan says.

    Attributes:
        key: the task or item.
        attempt: number of the attempt, from 1.
        failures: attempts counted against `retry.limit` so far.
        disruptions: attempts counted against `retry.infrastructure` so far.
        source: what it is started with, or what renders it: large inputs exist only while they are sent.
        began_at: when the first attempt was made, if the task has a deadline; seconds since the epoch.
        is_slow: it takes too long to be rendered where others wait.
    """

    key: TaskInstanceKey
    attempt: int
    failures: int
    disruptions: int
    source: ContainerInputs | ChildInputs | Callable[[], ContainerInputs | ChildInputs]
    began_at: float | None = None
    is_slow: bool = False

    @property
    def inputs(self) -> ContainerInputs | ChildInputs:
        """What it is started with; rendered again each time if it is large.

        Raises:
            ExpressionError: it could not be rendered: report it as `RenderFailed`.
        """
        return self.source() if callable(self.source) else self.source


class StopAttempt(NamedTuple):
    """Stop an attempt: end its Pod, delete its Pod or Job, or shut its child run down."""

    key: TaskInstanceKey
    attempt: int
    pod: str
    uid: str
    reason: str | None = None
    """Why, as a reason of the API; None if the attempt has ended and only the rest of its Pod is stopped."""
    is_in_place: bool = False
    """End the Pod without deleting it: its log stays."""


class RemoveFinalizer(NamedTuple):
    """Remove the tracking finalizer from a Pod whose outcome is stored."""

    pod: str
    uid: str


class VerifyAttempt(NamedTuple):
    """Check whether the Pod of an attempt still exists, and report it as a fact."""

    key: TaskInstanceKey
    attempt: int


class AskCache(NamedTuple):
    """Look up a task's outputs, or take the lock to run it; answered by CacheHit, CacheMiss or CacheBusy."""

    key: TaskInstanceKey
    digest: str
    """Digest of the Flow, the task, its signature and its cache key."""
    ttl_s: float


class ReleaseCacheLock(NamedTuple):
    """Release the lock: with the outputs if the task completed, else without."""

    key: TaskInstanceKey
    digest: str
    ttl_s: float
    outputs: dict[str, Any] | None


class Conclusion(NamedTuple):
    """A task or item that has reached a final state: for metrics."""

    key: TaskInstanceKey
    state: TaskState
    duration_s: float
    """Time from its last container's start to its end; 0 if none started."""
    queued_at: float | None = None
    """Since when its last attempt waited to start, seconds since the epoch."""
    created_at: float | None = None
    """When the Pod of its last attempt was created."""
    started_at: float | None = None
    """When the container of its last attempt started."""


class FailedAttempt(NamedTuple):
    """An attempt that did not succeed: for metrics."""

    reason: str
    is_disruption: bool
    """Whether it counts against `retry.infrastructure`, and not against `retry.limit`."""
    is_retried: bool
    """Whether another attempt follows."""


class Step(NamedTuple):
    """What follows from what was observed.

    Attributes:
        creates: attempts to create.
        stops: attempts to stop.
        finalizer_removals: Pods from which to remove the finalizer.
        verifies: attempts whose Pods to check.
        cache: questions to the cache, and locks to release.
        conclusions: tasks and items that have finished, for metrics.
        failed_attempts: attempts that did not succeed, for metrics.
        notices: Events to record.
        wake_at: when to advance again even if nothing happens, seconds since the epoch.
        is_changed: the status has something new to store.
        is_urgent: a caller may wait for the change, such as the run's end: store it immediately.
        is_slow: an expression takes too long for where this step was made: advance where nothing else waits.
    """

    creates: list[CreateAttempt]
    stops: list[StopAttempt]
    finalizer_removals: list[RemoveFinalizer]
    verifies: list[VerifyAttempt]
    cache: list[AskCache | ReleaseCacheLock]
    conclusions: list[Conclusion]
    failed_attempts: list[FailedAttempt]
    notices: list[Notice]
    wake_at: float | None
    is_changed: bool
    is_urgent: bool
    is_slow: bool = False
