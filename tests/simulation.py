"""A cluster in memory for the machine: Pods that live and die, a status that is stored or not, and crashes.

The outcome of an attempt is a function of its task, item and number, so a run with crashes must end as one without.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.task_plan import DependencyKind, TaskPlan
from penstock.engine.keys import RunIdentity, TaskInstanceKey
from penstock.engine.machine.effects.effects import AskCache, CreateAttempt, Step, StopAttempt
from penstock.engine.machine.effects.inputs import ChildInputs
from penstock.engine.machine.facts import (
    ApprovalDecision,
    AttemptGone,
    AttemptKind,
    AttemptSeen,
    CacheBusy,
    CacheHit,
    CacheMiss,
    Cause,
    Control,
    Outcome,
)
from penstock.engine.machine.machine import Machine
from penstock.engine.machine.tasks.attempt_deadlines import IN_PLACE_MARGIN_S
from penstock.engine.names import pod_name
from penstock.engine.reasons import Reason
from penstock.engine.restart import KEEP_COMPLETED, Restart

RUN = RunIdentity("default", "run", "0b6c3f0e-run")
START = 1_000_000.0
GRACE_S = 30.0
"""Of each Pod."""

Fate = Callable[[TaskInstanceKey, int], Outcome]
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
    restart: Restart = KEEP_COMPLETED
    cached: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Outputs by digest."""
    cached_below: str = ""
    """Digests less than this one are cached from the start."""
    is_slow_to_end: bool = False
    """Whether Pods that are ended in place take time, if they end at all; else they end at once."""
    busy_rate: float = 0.0
    """How often another run holds the lock of what is asked for."""
    now: float = START
    pods: dict[str, AttemptSeen] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    created: list[tuple[TaskInstanceKey, int]] = field(default_factory=list)
    crashes: int = 0
    _asked: list[AskCache] = field(default_factory=list)
    _idle_at: float | None = None
    """When the last step found nothing to do, if nothing has happened since."""

    def __post_init__(self) -> None:
        self.machine = self.build()

    def build(self) -> Machine:
        """Build a machine from nothing but what is stored."""
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
            restart=self.restart,
        )

    def crash(self) -> None:
        """Throw the machine away and build it again from the stored status and the Pods."""
        self.crashes += 1
        self._idle_at = None
        self.machine = self.build()
        self._asked.clear()
        # A finished child run is in no list: it is read by its name.
        pods = [pod for pod in self.pods.values() if not (self._is_child(pod) and pod.is_finished)]
        self.rng.shuffle(pods)
        for pod in pods:
            self.machine.observe(pod, self.now)

    def step(self, *, crash_before_writes: bool = False) -> Step:
        """Advance the machine and carry out what it asks for, in any order, or crash before that."""
        step = self.machine.advance(self.now)
        self._check_control(step)
        self._idle_at = None if _does_anything(step) else self.now
        if crash_before_writes:
            writes = [*step.creates]
            self.rng.shuffle(writes)
            for create in writes[: self.rng.randint(0, len(writes))]:
                self._create(create, is_observed=False)
            self.crash()
            return step
        for create in self.rng.sample(step.creates, len(step.creates)):
            self._create(create, is_observed=True)
        self._answer_cache(step)
        for stop in step.stops:
            self._stop(stop)
        for release in step.finalizer_removals:
            pod = self.pods.get(release.pod)
            if pod is not None:
                self._check_recorded(pod)
                self._change(pod._replace(is_tracked=False))
        for verify in step.verifies:
            name = pod_name(RUN.name, RUN.uid, verify.key, verify.attempt)
            pod = self.pods.get(name)
            self.machine.observe(pod or AttemptGone(verify.key, verify.attempt), self.now)
        return step

    def _stop(self, stop: StopAttempt) -> None:
        pod = self.pods.get(stop.pod)
        if pod is None or pod.outcome is not None:
            return
        if stop.reason is not None and not self._is_child(pod):
            self._check_stop(stop, pod)
        if stop.is_in_place:
            pod = pod._replace(end_due_at=self.now + GRACE_S)
            if not self.is_slow_to_end:
                killed = Outcome(Cause.FAILURE, self.now, Reason.EXIT_CODE, "killed", 143)
                pod = pod._replace(outcome=killed, is_finished=True)
            self._change(pod)
            return
        ended = Outcome(Cause.FAILURE, self.now, Reason.EXIT_CODE, "killed", 143)
        if self._is_child(pod):
            ended = Outcome(Cause.FAILURE, self.now, Reason.CHILD_FAILED, "cancelled")
        self._change(pod._replace(is_deleting=True, outcome=ended, is_finished=True))

    def _check_stop(self, stop: StopAttempt, pod: AttemptSeen) -> None:
        """A Pod is stopped only when the reason is stored, and loses its log only if nothing else ends it."""
        entry = next(entry for entry in self.status["tasks"] if entry["name"] == pod.key.task)
        if pod.key.item is not None:
            entry = next(item for item in entry["items"]["live"] if item["index"] == pod.key.item)
        assert (entry["stopping"], entry["attempt"]) == (stop.reason, stop.attempt)
        is_overdue = pod.end_due_at is not None and self.now >= pod.end_due_at + IN_PLACE_MARGIN_S
        is_terminated = self.control.shutdown == "Terminate"
        if stop.is_in_place:
            assert pod.can_end_in_place
            assert pod.end_due_at is None
        else:
            assert not pod.can_end_in_place or is_overdue or is_terminated

    def _answer_cache(self, step: Step) -> None:
        """Answer what was asked of the cache, or say that another run holds the lock."""
        for settled in step.cache:
            if not isinstance(settled, AskCache) and settled.outputs is not None:
                self.cached[settled.digest] = settled.outputs
        asked = [*self._asked, *(question for question in step.cache if isinstance(question, AskCache))]
        self._asked = []
        if asked:
            self._idle_at = None
        for question in asked:
            if self.rng.random() < self.busy_rate:
                self.machine.observe(CacheBusy(question.key, "run other runs it"), self.now)
                self._asked.append(question)
            elif question.digest in self.cached or question.digest < self.cached_below:
                outputs = self.cached.get(question.digest, {"n": 7, "text": "x"})
                self.machine.observe(CacheHit(question.key, outputs, "earlier"), self.now)
            else:
                self.machine.observe(CacheMiss(question.key), self.now)

    def change(self, **fields: Any) -> None:
        """Change what the run's spec says."""
        self.control = replace(self.control, **fields)
        self._idle_at = None
        self.machine.set_control(self.control, self.now)

    def decide(self, task: str, *, is_approved: bool) -> None:
        """Decide about an approval."""
        self.change(approvals={**self.control.approvals, task: ApprovalDecision(is_approved, "so be it")})

    def open_approvals(self) -> list[str]:
        """Return the approvals that wait, as far as the stored status says so."""
        waiting = [entry["name"] for entry in self.status.get("tasks", ()) if entry["state"] == "Paused"]
        plans = {task.name: task for task in self.plan.tasks}
        return [name for name in waiting if plans[name].approval is not None and name not in self.control.approvals]

    def _is_child(self, pod: AttemptSeen) -> bool:
        return self.plan.tasks[self.plan.positions[pod.key.task]].child is not None

    def _check_control(self, step: Step) -> None:
        """Nothing is created that the run's spec forbids."""
        assert not (self.control.is_suspended and step.creates), "a suspended run starts something"
        for create in step.creates:
            task = self.plan.tasks[self.plan.positions[create.key.task]]
            if self.control.shutdown == "Terminate":
                raise AssertionError(f"a terminated run starts {create.key}")
            if self.control.shutdown == "Cancel":
                assert task.is_finally, f"a cancelled run starts {create.key}"

    def flush(self) -> None:
        """Store the status as the API server would."""
        changes = self.machine.take_changes()
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
        is_work = self.machine.mark_stored(changes.version)
        if self._idle_at == self.now and not is_work:
            assert not _does_anything(self.machine.advance(self.now)), "a step was due that no caller would have made"
        self._idle_at = None

    def live_pods(self) -> list[AttemptSeen]:
        """Return the Pods that have not finished."""
        return [pod for pod in self.pods.values() if pod.outcome is None]

    def progress(self, pod: AttemptSeen) -> None:
        """Let a Pod start, or end."""
        if pod.started_at is None:
            can_end_in_place = not self._is_child(pod)
            self._change(pod._replace(started_at=self.now, node="node", can_end_in_place=can_end_in_place))
            return
        if pod.end_due_at is not None:
            # Programs handle SIGTERM as they like, and some nodes never hear of it: these Pods have to be deleted.
            draw = int(hashlib.sha256(pod.pod.encode()).hexdigest(), 16) % 3
            if draw:
                ended = Outcome(Cause.FAILURE, self.now, Reason.EXIT_CODE, "killed", 143)
                done = Outcome(Cause.SUCCESS, self.now, exit_code=0, outputs={})
                self._change(pod._replace(outcome=ended if draw == 1 else done, is_finished=True))
            return
        outcome = self.fate(pod.key, pod.attempt)._replace(finished_at=self.now)
        self._change(pod._replace(outcome=outcome, is_finished=True))

    def delete(self, pod: AttemptSeen) -> None:
        """Delete a Pod as a person would: the kubelet ends it, the finalizer keeps the object."""
        ended = Outcome(Cause.DISRUPTION, self.now, Reason.POD_DELETED, "the Pod was deleted")
        self._change(pod._replace(is_deleting=True, outcome=ended, is_finished=True))

    def repeat(self, pod: AttemptSeen) -> None:
        """Report a Pod to the machine again."""
        self._idle_at = None
        self.machine.observe(pod, self.now)

    def _change(self, pod: AttemptSeen) -> None:
        # Facts that were observed early are handled late.
        pod = pod._replace(version=pod.version + 1)
        self.pods[pod.pod] = pod
        self._idle_at = None
        self.machine.observe(pod, self.now)

    def _create(self, create: CreateAttempt, *, is_observed: bool) -> None:
        name = pod_name(RUN.name, RUN.uid, create.key, create.attempt)
        if name not in self.pods:
            self._check_may_start(create)
            self.created.append((create.key, create.attempt))
            self.pods[name] = AttemptSeen(
                create.key,
                create.attempt,
                create.failures,
                create.disruptions,
                name,
                f"uid-{name}",
                self.now,
                is_tracked=not isinstance(create.inputs, ChildInputs),
                kind=_kind_of(self.plan.tasks[self.plan.positions[create.key.task]]),
                began_at=create.began_at,
            )
        if is_observed:
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
            if not task.is_finally:
                # A task that the run stops finishes before its Pod does: finally does not wait for the Pod.
                assert all(pod.outcome is not None for pod in ended), f"{create.key} starts while {upstream.name} runs"
            is_visible = upstream.cache is None and upstream.approval is None and not self.kept
            # Of a fan-out of few items a number may tolerate them all.
            may_lack_success = upstream.allow_failed.of(100) == 100 or (
                upstream.fan_out and upstream.allow_failed.count
            )
            if dependency.kind is DependencyKind.NEEDS and is_visible and not may_lack_success:
                assert any(pod.outcome and pod.outcome.cause is Cause.SUCCESS for pod in ended), (
                    f"{create.key} starts though {upstream.name} did not complete"
                )

    def _check_recorded(self, pod: AttemptSeen) -> None:
        """A finalizer is removed only when the end of the Pod is in the stored status."""
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


def _kind_of(task: TaskPlan) -> AttemptKind:
    if task.child is not None:
        return AttemptKind.CHILD_RUN
    return AttemptKind.JOB if task.is_job else AttemptKind.POD


def _does_anything(step: Step) -> bool:
    return bool(
        step.creates
        or step.stops
        or step.finalizer_removals
        or step.verifies
        or step.cache
        or step.conclusions
        or step.notices
    )


def fixed_fate(seed: int, *, failure_rate: float, disruption_rate: float) -> Fate:
    """Return a fate that is the same for the same attempt, whenever and however often it is asked."""

    def fate(key: TaskInstanceKey, attempt: int) -> Outcome:
        digest = hashlib.sha256(f"{seed}/{key}/{attempt}".encode()).digest()
        draw = int.from_bytes(digest[:8], "big") / 2**64
        if draw < disruption_rate:
            return Outcome(Cause.DISRUPTION, 0.0, Reason.EVICTED, "evicted")
        if draw < disruption_rate + failure_rate:
            return Outcome(Cause.FAILURE, 0.0, Reason.EXIT_CODE, "exit code 1", 1)
        outputs = {"n": digest[8], "items": list(range(digest[9] % 5)), "flag": digest[10] % 2 == 0, "text": "x"}
        return Outcome(Cause.SUCCESS, 0.0, exit_code=0, outputs=outputs)

    return fate
