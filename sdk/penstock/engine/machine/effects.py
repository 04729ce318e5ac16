"""What the machine asks for: writes to be made, each safe to make twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from penstock.engine.keys import TaskInstanceKey
from penstock.engine.machine.inputs import ChildInputs, ContainerInputs
from penstock.engine.machine.notices import Notice
from penstock.engine.state import TaskState


@dataclass(frozen=True, slots=True)
class CreateAttempt:
    """Create what carries an attempt: a Pod, a Job or a child run, as the task's plan says.

    Attributes:
        key: the task or item.
        attempt: number of the attempt, from 1.
        failures: attempts charged to `retry.limit` so far.
        disruptions: attempts charged to `retry.infrastructure` so far.
        inputs: what it is started with.
        began_at: when the first attempt was made, if the task has a deadline; seconds since the epoch.
    """

    key: TaskInstanceKey
    attempt: int
    failures: int
    disruptions: int
    inputs: ContainerInputs | ChildInputs
    began_at: float | None = None


class StopAttempt(NamedTuple):
    """Stop an attempt that should not go on: delete its Pod or Job, or have its child run end early."""

    key: TaskInstanceKey
    attempt: int
    pod: str
    uid: str
    reason: str | None = None
    """Why, from the vocabulary of reasons; None where the attempt is merely in the way."""


class RemoveFinalizer(NamedTuple):
    """Take the tracking finalizer off a Pod whose outcome is stored."""

    pod: str
    uid: str


class VerifyAttempt(NamedTuple):
    """Find out whether the Pod of an attempt still exists, and tell the machine."""

    key: TaskInstanceKey
    attempt: int


class AskCache(NamedTuple):
    """Look a task's outputs up, or take the lock to run it; answered by CacheHit, CacheMiss or CacheBusy."""

    key: TaskInstanceKey
    digest: str
    """Of Flow, task, what it runs, and its key."""
    ttl_s: float


class ReleaseCacheLock(NamedTuple):
    """Give the lock back: with the outputs if the task completed, else without."""

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


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from what was observed.

    Attributes:
        creates: attempts to create.
        stops: attempts to stop.
        releases: Pods to let go.
        verifies: attempts to look for.
        cache: questions to the cache, and answers for it.
        conclusions: tasks and items that are over, for metrics.
        notices: what a person should be told.
        wake_at: when to advance again even if nothing happens, seconds since the epoch.
        is_changed: the status has something new to store.
        is_urgent: somebody may wait for what changed, such as the run's end: it should be stored at once.
    """

    creates: list[CreateAttempt]
    stops: list[StopAttempt]
    finalizer_removals: list[RemoveFinalizer]
    verifies: list[VerifyAttempt]
    cache: list[AskCache | ReleaseCacheLock]
    conclusions: list[Conclusion]
    notices: list[Notice]
    wake_at: float | None
    is_changed: bool
    is_urgent: bool
