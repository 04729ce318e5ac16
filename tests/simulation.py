"""A cluster in memory for the machine: Pods that live and die, a status that is stored or not, and crashes.

What becomes of an attempt is a function of its task, item and number, so a run with crashes must end as one without.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.engine.effects import CreateAttempt, Step
from penstock.engine.facts import AttemptGone, AttemptSeen, Cause, Control, Outcome, UnitKey
from penstock.engine.identity import pod_name
from penstock.engine.machine import Machine, RunIdentity
from penstock.engine.plan import DependencyKind, Plan
from penstock.engine.reasons import Reason

RUN = RunIdentity("default", "run", "0b6c3f0e-run")
START = 1_000_000.0

Fate = Callable[[UnitKey, int], Outcome]
"""Decides how an attempt ends; its time is filled in."""


@dataclass
class World:
    """Everything outside the machine."""

    plan: Plan
    fate: Fate
    rng: random.Random
    params: dict[str, Any] = field(default_factory=dict)
    control: Control = field(default_factory=Control)
    kept: list[dict[str, Any]] = field(default_factory=list)
    now: float = START
    pods: dict[str, AttemptSeen] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    created: list[tuple[UnitKey, int]] = field(default_factory=list)
    crashes: int = 0

    def __post_init__(self) -> None:
        self.machine = self.build()

    def build(self) -> Machine:
        """Make a machine of nothing but what is stored."""
        stored = json.loads(json.dumps(self.status)) or None
        return Machine(
            self.plan,
            RUN,
            self.params,
            now=self.now,
            stored=stored,
            control=self.control,
            ancestor={"name": "before", "uid": "uid-before"} if self.kept else None,
            kept=self.kept,
        )

    def crash(self) -> None:
        """Throw the machine away and build it again from the stored status and the Pods."""
        self.crashes += 1
        self.machine = self.build()
        pods = list(self.pods.values())
        self.rng.shuffle(pods)
        for pod in pods:
            self.machine.observe(pod, self.now)

    def step(self, *, crash_before_writes: bool = False) -> Step:
        """Advance the machine and carry out what it asks for, in any order, or crash before that."""
        step = self.machine.advance(self.now)
        if crash_before_writes:
            writes = [*step.creates]
            self.rng.shuffle(writes)
            for create in writes[: self.rng.randint(0, len(writes))]:
                self._create(create, is_heard=False)
            self.crash()
            return step
        for create in self.rng.sample(step.creates, len(step.creates)):
            self._create(create, is_heard=True)
        for stop in step.stops:
            pod = self.pods.get(stop.pod)
            if pod is not None and pod.outcome is None:
                ended = Outcome(Cause.FAILURE, self.now, Reason.EXIT_CODE, "killed", 143)
                self._change(replace(pod, is_deleting=True, outcome=ended, is_finished=True))
        for release in step.releases:
            pod = self.pods.get(release.pod)
            if pod is not None:
                self._check_recorded(pod)
                self._change(replace(pod, is_tracked=False))
        for verify in step.verifies:
            name = pod_name(RUN.name, RUN.uid, verify.key, verify.attempt)
            pod = self.pods.get(name)
            self.machine.observe(pod or AttemptGone(verify.key, verify.attempt), self.now)
        return step

    def flush(self) -> None:
        """Store the status as the API server would."""
        changes = self.machine.changes()
        if changes.status is not None:
            self.status = json.loads(json.dumps(changes.status))
        for operation in changes.operations:
            path = operation["path"].split("/")[2:]
            if operation["op"] == "remove":
                del self.status[path[0]]
                continue
            value = json.loads(json.dumps(operation["value"]))
            if path[0] == "tasks":
                self.status["tasks"][int(path[1])] = value
            else:
                self.status[path[0]] = value
        self.machine.stored(changes.version)

    def live_pods(self) -> list[AttemptSeen]:
        """Return the Pods that are not over."""
        return [pod for pod in self.pods.values() if pod.outcome is None]

    def progress(self, pod: AttemptSeen) -> None:
        """Let a Pod start, or end."""
        if pod.started_at is None:
            self._change(replace(pod, started_at=self.now, node="node"))
            return
        outcome = self.fate(pod.key, pod.attempt)._replace(finished_at=self.now)
        self._change(replace(pod, outcome=outcome, is_finished=True))

    def delete(self, pod: AttemptSeen) -> None:
        """Delete a Pod as a person would: the kubelet ends it, the finalizer keeps the object."""
        ended = Outcome(Cause.DISRUPTION, self.now, Reason.POD_DELETED, "the Pod was deleted")
        self._change(replace(pod, is_deleting=True, outcome=ended, is_finished=True))

    def repeat(self, pod: AttemptSeen) -> None:
        """Tell the machine of a Pod once more."""
        self.machine.observe(pod, self.now)

    def _change(self, pod: AttemptSeen) -> None:
        self.pods[pod.pod] = pod
        self.machine.observe(pod, self.now)

    def _create(self, create: CreateAttempt, *, is_heard: bool) -> None:
        name = pod_name(RUN.name, RUN.uid, create.key, create.attempt)
        if name not in self.pods:
            self._check_may_start(create)
            self.created.append((create.key, create.attempt))
            self.pods[name] = AttemptSeen(
                create.key, create.attempt, create.failures, create.disruptions, name, f"uid-{name}", self.now
            )
        if is_heard:
            self.machine.observe(self.pods[name], self.now)

    def _check_may_start(self, create: CreateAttempt) -> None:
        alive = [pod for pod in self.live_pods() if pod.key == create.key]
        assert not alive, f"{create.key} has a live attempt {alive[0].attempt} when {create.attempt} is created"
        task = self.plan.tasks[self.plan.positions[create.key.task]]
        policy = task.retry
        assert create.failures <= policy.limit, "the task's own budget is overdrawn"
        assert create.disruptions <= policy.infrastructure, "the infrastructure's budget is overdrawn"
        for dependency in task.upstream:
            upstream = self.plan.tasks[dependency.task]
            ended = [pod for pod in self.pods.values() if pod.key.task == upstream.name]
            assert all(pod.outcome is not None for pod in ended), f"{create.key} starts while {upstream.name} runs"
            if dependency.kind is DependencyKind.NEEDS:
                assert any(pod.outcome and pod.outcome.cause is Cause.SUCCESS for pod in ended), (
                    f"{create.key} starts though {upstream.name} did not complete"
                )

    def _check_recorded(self, pod: AttemptSeen) -> None:
        """A Pod is let go only when its end stands in the stored status."""
        entry = next(entry for entry in self.status["tasks"] if entry["name"] == pod.key.task)
        if pod.key.item is None:
            is_past = entry["attempt"] > pod.attempt
            assert is_past or entry["state"] not in ("Pending", "Queued", "Running"), f"{pod.pod} is not recorded"
            return
        live = {item["index"]: item for item in entry["items"].get("live", ())}
        item = live.get(pod.key.item)
        assert item is None or item["attempt"] > pod.attempt or item.get("state") == "Retrying", (
            f"{pod.pod} is not recorded"
        )


def fixed_fate(seed: int, *, failure_rate: float, disruption_rate: float) -> Fate:
    """Return a fate that is the same for the same attempt, whenever and however often it is asked."""

    def fate(key: UnitKey, attempt: int) -> Outcome:
        digest = hashlib.sha256(f"{seed}/{key}/{attempt}".encode()).digest()
        draw = int.from_bytes(digest[:8], "big") / 2**64
        if draw < disruption_rate:
            return Outcome(Cause.DISRUPTION, 0.0, Reason.EVICTED, "evicted")
        if draw < disruption_rate + failure_rate:
            return Outcome(Cause.FAILURE, 0.0, Reason.EXIT_CODE, "exit code 1", 1)
        outputs = {"n": digest[8], "items": list(range(digest[9] % 5)), "flag": digest[10] % 2 == 0, "text": "x"}
        return Outcome(Cause.SUCCESS, 0.0, exit_code=0, outputs=outputs)

    return fate
