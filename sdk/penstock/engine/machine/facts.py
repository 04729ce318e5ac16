"""The facts that the machine takes: the observed state of Pods, child runs and the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from penstock.engine.audit import DecisionRecord, Record
from penstock.engine.keys import TaskInstanceKey


class Cause(Enum):
    """What ended an attempt."""

    SUCCESS = "success"
    FAILURE = "failure"
    """The task itself: counts against `retry.limit`."""
    DISRUPTION = "disruption"
    """The infrastructure: counts against `retry.infrastructure`."""
    NOT_RUN = "not run"
    """Nothing has run, and that is not a failure: its child run was skipped."""


class AttemptKind(Enum):
    """What kind of object carries an attempt."""

    POD = "Pod"
    JOB = "Job"
    """A Job, and its Pod once there is one."""
    CHILD_RUN = "FlowRun"


class Outcome(NamedTuple):
    """How an attempt ended."""

    cause: Cause
    finished_at: float
    """Seconds since the epoch."""
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None
    outputs: dict[str, Any] | None = None
    raw_message: str | None = None
    """What a container left as its message, for `retry.when`; None if the message has nothing added."""


class AttemptSeen(NamedTuple):
    """The Pod of one attempt as it is now; or the child run, or the Job that has no Pod yet.

    Attributes:
        key: the task or item.
        attempt: number of the attempt, from 1.
        failures: attempts counted against `retry.limit` before this one.
        disruptions: attempts counted against `retry.infrastructure` before this one.
        pod: name of the Pod.
        uid: uid of the Pod.
        created_at: creation time, seconds since the epoch.
        started_at: start of the container `main`, if it has started.
        node: name of the node, once there is one.
        outcome: how it ended, if it has.
        waiting_reason: why it does not start, if that is known.
        waiting_message: the same for people.
        waiting_since: from when that wait counts, seconds since the epoch; None if only the observer knows.
        is_finished: the whole Pod has finished, not only the container `main`.
        is_deleting: the Pod has a deletion timestamp.
        is_tracked: the Pod has the tracking finalizer.
        kind: the kind of object that carries it.
        is_held: it waits for an admission queue or a concurrency limit.
        is_paused: it is a child run that waits for an approval.
        gone_due_at: when a Pod that is being deleted should have ended, seconds since the epoch.
        can_end_in_place: its Pod can be ended without being deleted, which keeps its log.
        end_due_at: when a Pod that is being ended in this way should have ended, seconds since the epoch.
        began_at: when the first attempt was made, if the Pod has that annotation.
        version: grows with every change of the object; 0 where that is not known.
        has_status: false for the reply to a create, which says only that the object exists.
    """

    key: TaskInstanceKey
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
    waiting_since: float | None = None
    is_finished: bool = False
    is_deleting: bool = False
    is_tracked: bool = True
    kind: AttemptKind = AttemptKind.POD
    is_held: bool = False
    is_paused: bool = False
    gone_due_at: float | None = None
    can_end_in_place: bool = False
    end_due_at: float | None = None
    began_at: float | None = None
    version: int = 0
    has_status: bool = True


class AttemptGone(NamedTuple):
    """The Pod of one attempt does not exist any more, and no outcome of it was observed."""

    key: TaskInstanceKey
    attempt: int


class CreateRefused(NamedTuple):
    """The API server refused an attempt's Pod permanently."""

    key: TaskInstanceKey
    attempt: int
    message: str


class RenderFailed(NamedTuple):
    """An expression in what an attempt is started with could not be evaluated."""

    key: TaskInstanceKey
    attempt: int
    message: str


class CreateHeld(NamedTuple):
    """An attempt's Pod cannot be created yet: a quota is exhausted."""

    key: TaskInstanceKey
    attempt: int
    message: str


class CacheHit(NamedTuple):
    """An earlier attempt of the same task with the same key has outputs to reuse."""

    key: TaskInstanceKey
    outputs: dict[str, Any]
    run: str
    """Name of the run that they come from."""


class CacheMiss(NamedTuple):
    """Nothing is cached, and this run holds the lock: it runs the task and others wait for it."""

    key: TaskInstanceKey


class CacheBusy(NamedTuple):
    """Another run holds the lock: it is running the same task."""

    key: TaskInstanceKey
    message: str


Fact = AttemptSeen | AttemptGone | CreateRefused | RenderFailed | CreateHeld | CacheHit | CacheMiss | CacheBusy


@dataclass(frozen=True, slots=True)
class Control:
    """The part of a run's spec that may change while it runs.

    Attributes:
        is_suspended: nothing new is started.
        shutdown: Drain, Cancel or Terminate, if the run is to end early.
        approvals: the decision and the comment about each approval, by task.
        timeout_s: longest time of the run in seconds, in place of the Flow's.
        suspended_by: who suspended or resumed it last, as far as that is recorded.
        shutdown_by: who ended it early, likewise.
        has_approvers: whether decisions count only if those made them who may, as in a cluster.
    """

    is_suspended: bool = False
    shutdown: str | None = None
    approvals: Mapping[str, ApprovalDecision] = field(default_factory=dict)
    timeout_s: float | None = None
    suspended_by: Record | None = None
    shutdown_by: Record | None = None
    has_approvers: bool = False


class ApprovalDecision(NamedTuple):
    """A person's decision about an approval."""

    is_approved: bool
    comment: str | None = None
    record: DecisionRecord | None = None
    """Who decided; None if that is not recorded."""
    is_proved: bool = False
    """Whether only the API server can have said so."""
