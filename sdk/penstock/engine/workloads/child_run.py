"""Child runs: the FlowRun that carries out an attempt of a task, and what its status says about the attempt. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from penstock.api import names
from penstock.engine.keys import RunIdentity, TaskInstanceKey
from penstock.engine.machine.effects.effects import CreateAttempt
from penstock.engine.machine.effects.inputs import ChildInputs
from penstock.engine.machine.facts import AttemptKind, AttemptSeen, Cause, Outcome
from penstock.engine.machine.run.shutdown import Shutdown, ShutdownMode
from penstock.engine.names import pod_name
from penstock.engine.reasons import Reason
from penstock.engine.state import FINAL_RUN_STATES, RunState
from penstock.engine.timestamp import epoch, rfc3339
from penstock.engine.workloads.counters import read_counters, write_counters
from penstock.engine.workloads.owner_reference import run_owner
from penstock.errors import StoredStatusError

MAX_DEPTH: Final = 8
"""How deep runs may be nested. A run without a parent is at depth 0."""
_HELD_STATES: Final = frozenset({RunState.QUEUED, RunState.SCHEDULED})


class ParentLink(NamedTuple):
    """Which attempt of which run's task a child run carries out."""

    run: str
    """Name of the parent, in the same namespace."""
    uid: str
    key: TaskInstanceKey
    attempt: int
    failures: int
    disruptions: int
    began_at: float | None
    callers: tuple[str, ...]
    """The flows that the child is nested in, the outermost first."""


def read_parent(metadata: Mapping[str, Any]) -> ParentLink | None:
    """Read the parent of a run.

    Args:
        metadata: of the run.

    Returns:
        None if it is not a child: unless labels, owner and name all agree, the labels were forged.
    """
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    try:
        name, uid = labels[names.LABEL_PARENT], labels[names.LABEL_PARENT_UID]
        index = labels.get(names.LABEL_INDEX)
        key = TaskInstanceKey(labels[names.LABEL_TASK], None if index is None else int(index))
        attempt = int(labels[names.LABEL_ATTEMPT])
    except (KeyError, ValueError):
        return None
    owners = metadata.get("ownerReferences") or ()
    is_owned = any(
        owner["uid"] == uid
        and owner["kind"] == "FlowRun"
        and owner.get("apiVersion", "").startswith(f"{names.GROUP}/")
        and owner.get("controller")
        for owner in owners
    )
    if not is_owned or metadata["name"] != pod_name(name, uid, key, attempt):
        return None
    callers = tuple(filter(None, annotations.get(names.ANNOTATION_CALLERS, "").split(",")))
    return ParentLink(name, uid, key, attempt, *read_counters(annotations), _began_at(annotations), callers)


def _began_at(annotations: Mapping[str, str]) -> float | None:
    """Read when the first attempt was made. Anybody may annotate a run: a time that no operator wrote is none."""
    text = annotations.get(names.ANNOTATION_BEGIN_TIME)
    try:
        return None if text is None else epoch(text)
    except StoredStatusError:
        return None


def build_child(
    create: CreateAttempt, parent: RunIdentity, *, callers: tuple[str, ...], priority: int | None
) -> dict[str, Any]:
    """Build the child run of an attempt.

    Args:
        create: which attempt, with the child's Flow and params.
        parent: the run, which owns the child: both are deleted together.
        callers: the parent's flow, after those that it is nested in.
        priority: the parent's.
    """
    inputs, key = create.inputs, create.key
    assert isinstance(inputs, ChildInputs)
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_FLOW: inputs.flow,
        names.LABEL_PARENT: parent.name,
        names.LABEL_PARENT_UID: parent.uid,
        names.LABEL_TASK: key.task,
        names.LABEL_ATTEMPT: str(create.attempt),
    }
    if key.item is not None:
        labels[names.LABEL_INDEX] = str(key.item)
    annotations = {**write_counters(create.failures, create.disruptions), names.ANNOTATION_CALLERS: ",".join(callers)}
    if create.began_at is not None:
        annotations[names.ANNOTATION_BEGIN_TIME] = rfc3339(create.began_at)
    spec: dict[str, Any] = {"flow": {"name": inputs.flow}}
    if inputs.params:
        spec["params"] = inputs.params
    if priority is not None:
        spec["priority"] = priority
    return {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "metadata": {
            "name": pod_name(parent.name, parent.uid, key, create.attempt),
            "namespace": parent.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [run_owner(parent)],
        },
        "spec": spec,
    }


def too_deep(callers: tuple[str, ...], flow: str) -> str | None:
    """Return why a flow cannot run as a child; None if it can.

    Args:
        callers: the flows that it would be nested in, the outermost first.
        flow: its name.
    """
    if len(callers) <= MAX_DEPTH:
        return None
    return f"flows are nested deeper than {MAX_DEPTH} levels: {' > '.join((*callers, flow))}"


def shutdown_of_child(parent: str, reason: str | None) -> Shutdown:
    """Decide how a child is shut down when its parent stops its task.

    Args:
        parent: name of the parent run.
        reason: why the parent stops it.
    """
    mode = ShutdownMode.TERMINATE if reason == Reason.RUN_TERMINATED else ShutdownMode.CANCEL
    why = f" ({reason})" if reason else ""
    return Shutdown(mode, Reason.PARENT_ENDED, f"the parent run {parent} stopped its task{why}")


def observe_child(
    link: ParentLink, metadata: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any], *, now: float
) -> AttemptSeen:
    """Read an attempt from its child run.

    Args:
        link: which attempt it is.
        metadata: of the child.
        spec: of the child.
        status: of the child, as it is stored; its tasks are not needed.
        now: seconds since the epoch.
    """
    state, name = RunState(status.get("state", RunState.PENDING)), metadata["name"]
    outcome = _outcome(name, state, status, now) if state in FINAL_RUN_STATES else None
    started_at = status.get("startTime")
    is_held = state in _HELD_STATES
    waiting_reason, waiting_message = None, None
    if outcome is None and status.get("reason") is not None:
        waiting_reason = Reason.ADMISSION_QUEUE if is_held else status["reason"]
        waiting_message = f"child run {name} is {state}: {status.get('message', '')}".rstrip(": ")
    return AttemptSeen(
        key=link.key,
        attempt=link.attempt,
        failures=link.failures,
        disruptions=link.disruptions,
        pod=name,
        uid=metadata["uid"],
        created_at=epoch(metadata["creationTimestamp"]),
        started_at=None if started_at is None else epoch(started_at),
        outcome=outcome,
        waiting_reason=waiting_reason,
        waiting_message=waiting_message,
        is_finished=outcome is not None,
        is_deleting="shutdown" in status or spec.get("shutdown") is not None or "deletionTimestamp" in metadata,
        is_tracked=False,
        kind=AttemptKind.CHILD_RUN,
        is_held=is_held,
        is_paused=state is RunState.PAUSED,
        began_at=link.began_at,
    )


def observe_deleted_child(link: ParentLink, metadata: Mapping[str, Any], *, now: float) -> AttemptSeen:
    """Return an attempt whose child run was deleted before it finished."""
    message = f"the child run {metadata['name']} was deleted"
    return AttemptSeen(
        key=link.key,
        attempt=link.attempt,
        failures=link.failures,
        disruptions=link.disruptions,
        pod=metadata["name"],
        uid=metadata["uid"],
        created_at=epoch(metadata["creationTimestamp"]),
        outcome=Outcome(Cause.FAILURE, now, Reason.CHILD_DELETED, message),
        is_finished=True,
        is_deleting=True,
        is_tracked=False,
        kind=AttemptKind.CHILD_RUN,
        began_at=link.began_at,
    )


def _outcome(name: str, state: RunState, status: Mapping[str, Any], now: float) -> Outcome:
    completed = status.get("completionTime")
    finished_at = now if completed is None else epoch(completed)
    if state is RunState.COMPLETED:
        return Outcome(Cause.SUCCESS, finished_at, outputs=dict(status.get("outputs") or {}))
    why = ": ".join(part for part in (status.get("reason"), status.get("message")) if part)
    message = f"child run {name} is {state}{f': {why}' if why else ''}"
    if state is RunState.SKIPPED:
        return Outcome(Cause.NOT_RUN, finished_at, Reason.CHILD_SKIPPED, message)
    # A crashed run is not a disruption: it used up its own retries for disruptions.
    return Outcome(Cause.FAILURE, finished_at, Reason.CHILD_FAILED, message)
