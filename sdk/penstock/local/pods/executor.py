"""The local executor: carries out what the machines of runs decide, and reports the results back to them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from penstock.engine.cache import flow_scope
from penstock.engine.compiler.task_plan import TaskPlan
from penstock.engine.concurrency.slots import Slots
from penstock.engine.keys import ObjectKey, RunKey
from penstock.engine.machine.control import read_control
from penstock.engine.machine.effects.effects import AskCache, CreateAttempt, Step, StopAttempt, VerifyAttempt
from penstock.engine.machine.effects.inputs import ChildInputs
from penstock.engine.machine.facts import AttemptGone, AttemptKind, AttemptSeen, Cause, Fact, Outcome, RenderFailed
from penstock.engine.machine.machine import Machine
from penstock.engine.machine.run.shutdown import Shutdown, ShutdownMode
from penstock.engine.machine.run.unstarted import Ended, Waiting
from penstock.engine.names import pod_name
from penstock.engine.reasons import Reason
from penstock.engine.timestamp import rfc3339
from penstock.engine.workloads.child_run import build_child, observe_child, read_parent, shutdown_of_child, too_deep
from penstock.engine.workloads.pod import PodSettings, build_pod
from penstock.engine.workloads.workspace import mount_of
from penstock.errors import ExpressionError
from penstock.local.pods.attempt import Attempt
from penstock.local.pods.cache import Cache
from penstock.local.pods.container import AttemptFiles
from penstock.local.pods.container_runtime import ContainerRuntime
from penstock.local.pods.local_run import CompiledSpec, LocalRun
from penstock.local.pods.manifest_objects import Objects
from penstock.local.pods.observers import Line, Observers
from penstock.local.pods.run_start import RunStarter

NAMESPACE: Final = "local"
SETTINGS: Final = PodSettings(user=65532, is_tracked=False)
"""The defaults of the operator."""


class LocalExecutor:
    """Runs FlowRuns on this machine.

    Args:
        flows: the Flows, by name.
        objects: the objects that Pods may refer to.
        container_runtime: starts containers.
        observers: get the lines of logs and the changed runs.
        folder: a directory for everything that the runs need on disk.
        max_containers: how many containers run at once.
        approvals: decisions that are made before the run starts, by name of the task.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        flows: Mapping[str, CompiledSpec],
        objects: Objects,
        *,
        container_runtime: ContainerRuntime,
        observers: Observers,
        folder: Path,
        max_containers: int,
        approvals: Mapping[str, Mapping[str, Any]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._flows = flows
        self._objects = objects
        self._container_runtime = container_runtime
        self._observers = observers
        self._folder = folder
        self._container_slots = asyncio.Semaphore(max_containers)
        self._approvals = approvals
        self._clock = clock
        self._runs: dict[RunKey, LocalRun] = {}
        self._slots = Slots(self._wake_by_key, self._replace)
        self._starter = RunStarter(self._slots, folder, clock)
        self._cache = Cache()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def runs(self) -> list[LocalRun]:
        """Every run, the first one first."""
        return list(self._runs.values())

    async def run_to_completion(self, body: dict[str, Any], source: CompiledSpec) -> dict[str, Any]:
        """Run a FlowRun and all child runs that it starts, until all have finished.

        Args:
            body: the FlowRun: `spec`, and `metadata` with a name.
            source: its compiled spec.

        Returns:
            The FlowRun with its status.
        """
        run = self._add_run(body, source)
        try:
            while not (run.is_finished and all(one.is_finished for one in self.runs) and not self._tasks):
                self._changed.clear()
                await self._changed.wait()
                if self._failure is not None:
                    raise self._failure
        finally:
            await self._clean_up()
        return run.body

    def shut_down(self, mode: ShutdownMode) -> None:
        """Shut the first run down, as its `spec.shutdown` would."""
        run = self.runs[0]
        if run.is_finished:
            return
        run.body["spec"]["shutdown"] = mode.word
        self._change_spec(run)

    def decide_approval(self, run: RunKey, task: str, *, is_approved: bool, comment: str | None) -> None:
        """Approve or reject a task, as `spec.approvals` of its run would."""
        found = self._runs[run]
        decision = {"task": task, "decision": "Approve" if is_approved else "Reject"}
        if comment is not None:
            decision["comment"] = comment
        approvals = found.body["spec"].setdefault("approvals", [])
        if all(one["task"] != task for one in approvals):
            approvals.append(decision)
        self._change_spec(found)

    def kill_all(self) -> None:
        """Kill every container immediately."""
        for run in self.runs:
            for attempt in run.attempts.values():
                attempt.kill()

    # Runs

    def _add_run(self, body: dict[str, Any], source: CompiledSpec, *, caller: LocalRun | None = None) -> LocalRun:
        metadata = body["metadata"]
        metadata.setdefault("namespace", NAMESPACE)
        metadata |= {"uid": str(uuid.uuid4()), "generation": 1, "creationTimestamp": rfc3339(self._clock())}
        link = None if caller is None else read_parent(metadata)
        run = LocalRun(body, source, parent=None if caller is None or link is None else (caller, link))
        decided = {one["task"] for one in body["spec"].get("approvals") or ()}
        for plan in source.plan.tasks:
            if plan.approval is not None and plan.name in self._approvals and plan.name not in decided:
                body["spec"].setdefault("approvals", []).append({"task": plan.name, **self._approvals[plan.name]})
        self._runs[run.key] = run
        self._wake(run)
        return run

    def _end_early(self, run: LocalRun, shutdown: Shutdown) -> None:
        if run.machine is not None:
            run.machine.shut_down(shutdown.mode, shutdown.reason, shutdown.message, self._clock())
        elif run.ending is None or run.ending.mode < shutdown.mode:
            run.ending = shutdown
        self._wake(run)

    def _replace(self, key: RunKey, message: str) -> None:
        self._end_early(self._runs[key], Shutdown(ShutdownMode.CANCEL, Reason.RUN_REPLACED, message))

    def _change_spec(self, run: LocalRun) -> None:
        run.body["metadata"]["generation"] += 1
        if run.machine is not None:
            run.machine.set_control(read_control(run.spec), self._clock())
        self._wake(run)

    # Steps

    def _wake(self, run: LocalRun) -> None:
        if not run.is_due:
            run.is_due = True
            asyncio.get_running_loop().call_soon(self._reconcile, run)

    def _wake_by_key(self, key: RunKey) -> None:
        if key in self._runs:
            self._wake(self._runs[key])

    def _reconcile(self, run: LocalRun) -> None:
        run.is_due = False
        try:
            self._advance(run)
        except Exception as error:  # noqa: BLE001 - a callback of the loop: run_to_completion raises it
            self._failure = error
        self._changed.set()

    def _advance(self, run: LocalRun) -> None:
        if run.is_finished:
            return
        if run.machine is None:
            started = self._starter.start_run(run)
            if isinstance(started, Ended):
                run.body["status"] = started.status(self._clock(), before=run.status)
            elif isinstance(started, Waiting):
                run.body["status"] = started.status(run.created_at)
            if not isinstance(started, Machine):
                self._report_run(run)
                return
            run.machine = started
        machine = run.machine
        step = machine.advance(self._clock())
        self._perform(run, step)
        while step.is_changed:
            changes = machine.take_changes()
            run.store_changes(changes)
            machine.mark_stored(changes.version)
            # Some effects wait until that is stored.
            step = machine.advance(self._clock())
            self._perform(run, step)
        self._report_run(run)
        if run.timer is not None:
            run.timer.cancel()
            run.timer = None
        if step.wake_at is not None:
            delay_s = max(0.0, step.wake_at - self._clock())
            run.timer = asyncio.get_running_loop().call_later(delay_s, self._wake, run)

    def _report_run(self, run: LocalRun) -> None:
        """Report a run whose status may have changed to observers and parent; free its slot at its end."""
        self._observers.on_run(run.body)
        if run.parent is not None:
            parent, link = run.parent
            seen = observe_child(link, run.body["metadata"], run.body["spec"], run.status, now=self._clock())
            self._observe_fact(parent, seen)
        if run.is_finished and run.source.flow is not None:
            self._slots.remove_run(ObjectKey(run.key.namespace, run.source.flow), run.uid)

    def _observe_fact(self, run: LocalRun, fact: Fact) -> None:
        if run.machine is not None:
            run.machine.observe(fact, self._clock())
            self._wake(run)

    def _perform(self, run: LocalRun, step: Step) -> None:
        for create in step.creates:
            try:
                inputs = create.inputs
            except ExpressionError as error:
                self._observe_fact(run, RenderFailed(create.key, create.attempt, str(error)))
                continue
            rendered = replace(create, source=inputs)
            if isinstance(inputs, ChildInputs):
                self._create_child(run, rendered, inputs)
            else:
                self._create_attempt(run, rendered)
        for stop in step.stops:
            self._stop_attempt(run, stop)
        for verify in step.verifies:
            self._verify_attempt(run, verify)
        now, scope = self._clock(), self._scope(run)
        for effect in step.cache:
            if isinstance(effect, AskCache):
                self._cache.look_up(
                    scope, run.key.name, effect, now=now, report=lambda fact: self._observe_fact(run, fact)
                )
            else:
                self._cache.store_outputs(scope, run.key.name, effect, now=now)

    def _scope(self, run: LocalRun) -> str:
        inline = json.dumps(run.body["spec"].get("flowSpec"), sort_keys=True)
        return flow_scope(run.source.flow, hashlib.sha256(inline.encode()).hexdigest())

    # Attempts

    def _create_attempt(self, run: LocalRun, create: CreateAttempt) -> None:
        plan = self._plan(run, create.key.task)
        workspace = run.source.plan.workspace
        pod = build_pod(
            create,
            plan,
            run.identity,
            flow=run.source.flow,
            revision=None,
            settings=SETTINGS,
            workspace=None if workspace is None else mount_of(workspace, run.identity),
        )
        key = create.key

        def write(text: str) -> None:
            self._observers.on_line(Line(run.key.name, key.task, key.item, create.attempt, text))

        attempt = Attempt(
            create,
            pod,
            kind=AttemptKind.JOB if plan.is_job else AttemptKind.POD,
            report=lambda seen: self._observe_fact(run, seen),
            write=write,
            clock=self._clock,
        )
        pod["metadata"]["uid"] = attempt.uid
        run.attempts[attempt.name] = attempt
        self._spawn(self._run_attempt(run, attempt, plan))

    async def _run_attempt(self, run: LocalRun, attempt: Attempt, plan: TaskPlan) -> None:
        folder = self._folder / attempt.uid
        folder.mkdir()
        try:
            await attempt.run(
                self._container_runtime,
                self._objects,
                self._container_slots,
                AttemptFiles(folder, run.source.scripts[plan.name] if plan.has_script else None, run.workspace),
                has_log_tail=plan.has_log_tail,
            )
        finally:
            run.attempts.pop(attempt.name, None)

    def _create_child(self, run: LocalRun, create: CreateAttempt, inputs: ChildInputs) -> None:
        problem = too_deep(run.callers, inputs.flow)
        if problem is not None:
            self._observe_fact(run, _not_started(run, create, Reason.TOO_DEEP, problem, now=self._clock()))
            return
        child = build_child(create, run.identity, callers=run.callers, priority=run.body["spec"].get("priority"))
        self._report_run(self._add_run(child, self._flows[inputs.flow], caller=run))

    def _stop_attempt(self, run: LocalRun, stop: StopAttempt) -> None:
        attempt = run.attempts.get(stop.pod)
        if attempt is not None:
            attempt.stop()
            return
        child = self._runs.get(RunKey(run.key.namespace, stop.pod))
        if child is not None:
            self._end_early(child, shutdown_of_child(run.key.name, stop.reason))

    def _verify_attempt(self, run: LocalRun, verify: VerifyAttempt) -> None:
        name = pod_name(run.key.name, run.uid, verify.key, verify.attempt)
        if name not in run.attempts and RunKey(run.key.namespace, name) not in self._runs:
            self._observe_fact(run, AttemptGone(verify.key, verify.attempt))

    def _plan(self, run: LocalRun, task: str) -> TaskPlan:
        return run.source.plan.tasks[run.source.plan.positions[task]]

    # Background tasks

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
        self._changed.set()

    async def _clean_up(self) -> None:
        self.kill_all()
        for run in self.runs:
            if run.timer is not None:
                run.timer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)


def _not_started(run: LocalRun, create: CreateAttempt, reason: Reason, message: str, *, now: float) -> AttemptSeen:
    return AttemptSeen(
        create.key,
        create.attempt,
        create.failures,
        create.disruptions,
        pod_name(run.key.name, run.uid, create.key, create.attempt),
        "",
        now,
        outcome=Outcome(Cause.FAILURE, now, reason, message),
        is_finished=True,
        is_tracked=False,
        kind=AttemptKind.CHILD_RUN,
    )
