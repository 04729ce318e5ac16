"""The rules: what must hold of a history, and of what is left in the end. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from penstock.api import names
from penstock.engine.state import FINAL_RUN_STATES, FINAL_TASK_STATES
from tests.chaos.cases import Case, End
from tests.chaos.ledger import Change

POD_ENDS = ("Succeeded", "Failed")


class Instance(NamedTuple):
    """A task of a run, or an item of it."""

    namespace: str
    run_uid: str
    task: str
    item: str


@dataclass
class Attempt:
    """A Pod, as history had it."""

    name: str
    number: int
    run_uid: str
    flow: tuple[str, str]
    ended: int = 0
    """Revision at which it was first seen to have finished, or to be gone."""
    has_succeeded: bool = False
    is_stopped: bool = False
    """Whether it was asked to end, or its deletion was asked for, while it ran."""


@dataclass
class Run:
    """A FlowRun, as history had it."""

    state: str = ""
    epoch: int = 0
    tasks: dict[str, str] = field(default_factory=dict)


class Judge:
    """Takes in the history, change by change, and collects what breaks a rule.

    Args:
        limits: most runs with Pods at once, by namespace and Flow.
    """

    def __init__(self, limits: Mapping[tuple[str, str], int]) -> None:
        self.violations: list[str] = []
        self.pods = 0
        """How many Pods there were."""
        self._limits = limits
        self._attempts: dict[Instance, list[Attempt]] = {}
        self._by_uid: dict[str, Attempt] = {}
        self._live: dict[tuple[str, str], set[tuple[str, str]]] = {}
        """Runs and Pods that have not finished, by namespace and Flow."""
        self._pod_uids: dict[tuple[str, str], str] = {}
        self._runs: dict[str, Run] = {}
        self._run_names: dict[tuple[str, str], str] = {}
        self._jobs: dict[tuple[Instance, int], str] = {}

    def read(self, history: Iterable[Change]) -> None:
        """Take in a whole history."""
        for change in history:
            if change.kind == "pods":
                self._on_pod(change)
            elif change.kind == "jobs" and change.body is not None:
                self._on_job(change, change.body)
            elif change.kind == "flowruns" and change.body is not None:
                self._on_run(change, change.body)

    # Pods

    def _on_pod(self, change: Change) -> None:
        key = (change.namespace, change.name)
        if change.body is None:
            if uid := self._pod_uids.pop(key, None):
                self._end(change, uid, has_succeeded=False)
            return
        metadata = change.body["metadata"]
        labels = metadata.get("labels", {})
        if names.LABEL_RUN_UID not in labels:
            return
        if self._pod_uids.get(key) != metadata["uid"]:
            self._pod_uids[key] = metadata["uid"]
            self._create(change, metadata["uid"], labels)
        phase = change.body.get("status", {}).get("phase")
        # The API server assigns no Pod that is being deleted to a node: it never runs.
        never_runs = "deletionTimestamp" in metadata and not change.body["spec"].get("nodeName")
        if phase in POD_ENDS or never_runs:
            self._end(change, metadata["uid"], has_succeeded=phase == "Succeeded")
        elif "deletionTimestamp" in metadata or names.ANNOTATION_STOP_TIME in metadata.get("annotations", {}):
            self._by_uid[metadata["uid"]].is_stopped = True

    def _create(self, change: Change, uid: str, labels: Mapping[str, str]) -> None:
        self.pods += 1
        instance, number = _instance(change, labels)
        attempts = self._attempts.setdefault(instance, [])
        what = f"revision {change.revision}: Pod {change.namespace}/{change.name}, attempt {number}"
        for earlier in attempts:
            if earlier.number == number:
                self.violations.append(f"{what}: the attempt already had Pod {earlier.name}")
            if not earlier.ended:
                self.violations.append(f"{what} was created before Pod {earlier.name} had finished")
            if earlier.has_succeeded:
                self.violations.append(f"{what} was created though Pod {earlier.name} had succeeded")
        run = self._runs.get(instance.run_uid, Run())
        if run.tasks.get(instance.task) in FINAL_TASK_STATES:
            self.violations.append(f"{what} was created though its task was stored as {run.tasks[instance.task]}")
        flow = (change.namespace, labels.get(names.LABEL_FLOW, ""))
        attempt = self._by_uid[uid] = Attempt(change.name, number, instance.run_uid, flow)
        attempts.append(attempt)
        live = self._live.setdefault(flow, set())
        live.add((instance.run_uid, uid))
        runs = {run_uid for run_uid, _ in live}
        if len(runs) > self._limits.get(flow, len(runs)):
            self.violations.append(
                f"{what}: {len(runs)} runs of Flow {flow[1]} have Pods, and not {self._limits[flow]}"
            )

    def _end(self, change: Change, uid: str, *, has_succeeded: bool) -> None:
        attempt = self._by_uid.get(uid)
        # A node may report the end of a Pod a second time: the first counts.
        if attempt is not None and not attempt.ended:
            # One that ended after that was asked for was interrupted, whatever its exit code.
            attempt.ended, attempt.has_succeeded = change.revision, has_succeeded and not attempt.is_stopped
            self._live[attempt.flow].discard((attempt.run_uid, uid))

    # Jobs and runs

    def _on_job(self, change: Change, body: dict[str, Any]) -> None:
        metadata = body["metadata"]
        labels = metadata.get("labels", {})
        if names.LABEL_RUN_UID not in labels:
            return
        key = _instance(change, labels)
        if self._jobs.setdefault(key, metadata["uid"]) != metadata["uid"]:
            self.violations.append(f"revision {change.revision}: a second Job {change.namespace}/{change.name}")

    def _on_run(self, change: Change, body: dict[str, Any]) -> None:
        metadata, status = body["metadata"], body.get("status") or {}
        what = f"revision {change.revision}: run {change.namespace}/{change.name}"
        derived = {names.LABEL_PARENT, names.LABEL_SCHEDULE, names.LABEL_BACKFILL} & set(metadata.get("labels", {}))
        known = self._run_names.setdefault((change.namespace, change.name), metadata["uid"])
        if derived and known != metadata["uid"]:
            self.violations.append(f"{what} was created a second time")
        run = self._runs.setdefault(metadata["uid"], Run())
        state, epoch = status.get("state", ""), status.get("epoch", 0)
        if run.state in FINAL_RUN_STATES and state != run.state:
            self.violations.append(f"{what} was {run.state}, and then {state}")
        if epoch < run.epoch:
            self.violations.append(f"{what}: a status of epoch {epoch} came after one of {run.epoch}")
        run.state, run.epoch = state, epoch
        for entry in status.get("tasks", ()):
            before = run.tasks.get(entry["name"])
            if before in FINAL_TASK_STATES and entry["state"] != before:
                self.violations.append(f"{what}: task {entry['name']} was {before}, and then {entry['state']}")
            run.tasks[entry["name"]] = entry["state"]


def _instance(change: Change, labels: Mapping[str, str]) -> tuple[Instance, int]:
    instance = Instance(
        change.namespace, labels[names.LABEL_RUN_UID], labels[names.LABEL_TASK], labels.get(names.LABEL_INDEX, "")
    )
    return instance, int(labels[names.LABEL_ATTEMPT])


def wrong_ends(case: Case, runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return how the runs of a case did not end as they must.

    Args:
        case: the case.
        runs: the FlowRuns of its namespace, by name.
    """
    found = []
    for name, end in case.ends.items():
        run = runs.get(name)
        if run is None:
            if end.state:
                found.append(f"run {name} is gone")
        elif end.state:
            found += _wrong_end(name, end, run.get("status") or {})
    for label, value, count in case.derived:
        ours = [run for run in runs.values() if run["metadata"].get("labels", {}).get(label) == value]
        states = sorted((run.get("status") or {}).get("state", "") for run in ours)
        if states != ["Completed"] * count:
            found.append(f"runs with {label}={value} are {states}, and not {count} Completed ones")
    return found


def _wrong_end(name: str, end: End, status: Mapping[str, Any]) -> list[str]:
    found = []
    if status.get("state") != end.state:
        reason = f"{status.get('reason', '')} {str(status.get('message', ''))[:300]}"
        found.append(f"run {name} is {status.get('state')} ({reason}), and not {end.state}")
    entries = {entry["name"]: entry for entry in status.get("tasks", ())}
    for task, states in end.tasks.items():
        state = entries.get(task, {}).get("state")
        if state not in states:
            found.append(f"task {task} of run {name} is {state}, and not {' or '.join(sorted(states))}")
    for task, count in end.items.items():
        counts = (entries.get(task, {}).get("items") or {}).get("counts")
        if counts != {"Completed": count}:
            found.append(f"items of task {task} of run {name} are {counts}, and not {count} Completed ones")
    return found
