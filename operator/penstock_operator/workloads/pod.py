"""A task's Pod as the operator reads it: the fields that it needs, as the API server stores them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal

import msgspec

from penstock.api import names
from penstock.kube.metadata import OwnerReference
from penstock_operator.workloads.metadata import WorkloadMeta

TIMES_KEPT: Final = 1024
"""Times that are remembered: each event of a Pod repeats those of the last one, and thousands have the same second."""


class Terminated(msgspec.Struct, frozen=True, rename="camel"):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None


class Running(msgspec.Struct, frozen=True, rename="camel"):
    """The state of a container that has started and not ended."""

    started_at: str | None = None


class Waiting(msgspec.Struct, frozen=True):
    """A container that has not started."""

    reason: str = ""
    message: str = ""


class ContainerState(msgspec.Struct, frozen=True):
    """A container's state: at most one field is set; none means waiting."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    """The current and the previous state of one of the Pod's containers."""

    name: str
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()
    """Of a restarted container: how it ended last."""
    started: bool | None = None
    """Of a running container: whether its startup probe has passed, or it has none."""


class PodCondition(msgspec.Struct, frozen=True, rename="camel"):
    """A condition of the Pod."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None

    @property
    def transition_time(self) -> float | None:
        """When its status last changed, seconds since the epoch."""
        return read_time(self.last_transition_time)


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What is known of the Pod."""

    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Unknown", ""] = ""
    reason: str = ""
    message: str = ""
    start_time: str | None = None
    """When the kubelet accepted it."""
    conditions: tuple[PodCondition, ...] = ()
    observed_generation: int = 0
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The part of the spec that says where the Pod is, and how it ends."""

    node_name: str | None = None
    active_deadline_seconds: int | None = None
    termination_grace_period_seconds: int | None = None


class Pod(msgspec.Struct, frozen=True):
    """A task's Pod: the fields that the operator reads."""

    metadata: WorkloadMeta = WorkloadMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


def run_uid(pod: Pod) -> str:
    """Return the uid of the run that a Pod belongs to; empty if none."""
    return pod.metadata.labels.get(names.LABEL_RUN_UID, "")


def is_tracked(pod: Pod) -> bool:
    """Whether a Pod carries our finalizer."""
    return names.FINALIZER in pod.metadata.finalizers


def job_owner(pod: Pod) -> OwnerReference | None:
    """Return the Job that created a Pod; None if none did."""
    return pod.metadata.find_controller("Job", group="batch")


def find_condition(pod: Pod, kind: str) -> PodCondition | None:
    """Return a Pod's condition of a type; None if it has none."""
    # No generator: each event of a Pod comes here several times.
    for condition in pod.status.conditions:
        if condition.type == kind:
            return condition
    return None


def main_state(pod: Pod) -> ContainerState | None:
    """Return the state of the container `main`; None if the status does not list it."""
    for status in pod.status.container_statuses:
        if status.name == names.MAIN_CONTAINER:
            return status.state
    return None


@lru_cache(maxsize=TIMES_KEPT)
def read_time(text: str | None) -> float | None:
    """Read a time as seconds since the epoch; None if there is none, or the zero time."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text).timestamp()
    except OverflowError as error:
        raise ValueError(f"{text!r} is not a time that can be read: its year is too early or too late") from error
    # A container that never started has the zero time, year 1.
    return time if time > 0 else None


def read_noted_time(annotations: Mapping[str, str], name: str) -> float | None:
    """Read a time from an annotation; None if there is none, or one that no operator wrote."""
    try:
        return read_time(annotations.get(name))
    except ValueError:
        return None
