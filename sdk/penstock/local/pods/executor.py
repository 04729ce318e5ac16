"""The room in which runs go on: what their machines decide is done, and what becomes of it is told to them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from penstock.api.flowrun import FlowRunSpec
from penstock.api.names import API_VERSION
from penstock.engine.cache import flow_scope
from penstock.engine.compiler.params import resolve_params
from penstock.engine.compiler.task_plan import TaskPlan
from penstock.engine.concurrency.slots import Claim, Queued, Replaced, Skipped, Slots
from penstock.engine.keys import ObjectKey, RunKey
from penstock.engine.machine.control import read_control
from penstock.engine.machine.effects import AskCache, CreateAttempt, Step, StopAttempt, VerifyAttempt
from penstock.engine.machine.facts import AttemptGone, AttemptSeen, Cause, Fact, Outcome
from penstock.engine.machine.inputs import ChildInputs
from penstock.engine.machine.machine import Machine
from penstock.engine.machine.shutdown import Shutdown, ShutdownMode
from penstock.engine.machine.unstarted import Ended, Waiting
from penstock.engine.names import pod_name
from penstock.engine.reasons import Reason
from penstock.engine.state import RunState
from penstock.engine.timestamp import rfc3339
from penstock.engine.validation.parsing import parse
from penstock.engine.workloads.child_run import build_child, observe_child, read_parent, shutdown_of_child, too_deep
from penstock.engine.workloads.pod import PodSettings, build_pod
from penstock.engine.workloads.workspace import mount_of
from penstock.errors import ExpressionError, InvalidSpecError
from penstock.local.pods.attempt import Attempt
from penstock.local.pods.cache import Cache
from penstock.local.pods.container import AttemptFiles
from penstock.local.pods.container_runtime import ContainerRuntime
from penstock.local.pods.local_run import LocalRun, Source
from penstock.local.pods.objects import Objects

NAMESPACE: Final = "local"
SETTINGS: Final = PodSettings(user=65532, is_tracked=False)
"""As the operator has them if its installer says nothing else."""


class Line(NamedTuple):
    """A line that a container wrote."""

    run: str
    task: str
    item: int | None
    attempt: int
    text: str


class Observers(Protocol):
    """Who hears what goes on."""

    def hear(self, line: Line) -> None:
        """Take a line of a log."""

    def see(self, run: Mapping[str, Any]) -> None:
        """Take a FlowRun whose status has changed."""


class LocalExecutor:
    """Carries out runs.

    Args:
        flows: the Flows, by name.
        objects: what Pods may refer to.
        carrier: starts containers.
        audience: who hears what goes on.
        folder: a directory for everything that the runs need on disk.
        places: how many containers run at once.
        approvals: what was decided beforehand, by name of the task.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        flows: Mapping[str, Source],
        objects: Objects,
        *,
        carrier: ContainerRuntime,
        audience: Observers,
        folder: Path,
        places: int,
        approvals: Mapping[str, Mapping[str, Any]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._flows = flows
        self._objects = objects
        self._carrier = carrier
        self._audience = audience
        self._folder = folder
        self._places = asyncio.Semaphore(places)
        self._approvals = approvals
        self._clock = clock
        self._runs: dict[RunKey, LocalRun] = {}
        self._slots = Slots(self._wake_by_key, self._replace)
        self._cache = Cache()
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def runs(self) -> list[LocalRun]:
        """Every run, the first one first."""
        return list(self._runs.values())

    async def carry_out(self, body: dict[str, Any], source: Source) -> dict[str, Any]:
        """Carry out a run, and all that it starts.

        Args:
            body: the FlowRun: `spec`, and `metadata` with a name.
            source: what it is made of.

        Returns:
            The FlowRun with its status.
        """
        run = self._add(body, source)
        try:
            while not (run.is_finished and all(one.is_finished for one in self.runs) and not self._tasks):
                self._news.clear()
                await self._news.wait()
                if self._failure is not None:
                    raise self._failure
        finally:
            await self._clear()
        return run.body

    def shut_down(self, mode: ShutdownMode) -> None:
        """End the first run early, as `spec.shutdown` of it would."""
        run = self.runs[0]
        if run.is_finished:
            return
        run.body["spec"]["shutdown"] = mode.word
        self._change_spec(run)

    def decide(self, run: RunKey, task: str, *, is_approved: bool, comment: str | None) -> None:
        """Decide about an approval, as `spec.approvals` of its run would."""
        found = self._runs[run]
        decision = {"task": task, "decision": "Approve" if is_approved else "Reject"}
        if comment is not None:
            decision["comment"] = comment
        approvals = found.body["spec"].setdefault("approvals", [])
        if all(one["task"] != task for one in approvals):
            approvals.append(decision)
        self._change_spec(found)

    def kill(self) -> None:
        """End every container at once."""
        for run in self.runs:
            for attempt in run.attempts.values():
                attempt.kill()

    # Runs

    def _add(self, body: dict[str, Any], source: Source, *, caller: LocalRun | None = None) -> LocalRun:
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

    def _spec(self, run: LocalRun) -> FlowRunSpec:
        return parse(FlowRunSpec, run.body["spec"], "spec")

    def _start(self, run: LocalRun) -> Machine | Waiting | Ended:
        """Start a run, or say why it does not start."""
        now, spec = self._clock(), self._spec(run)
        ending = run.ending or (None if spec.shutdown is None else Shutdown.by_spec(spec.shutdown))
        if ending is not None:
            return Ended.by(ending)
        try:
            run.params = resolve_params(run.source.plan.params, spec.params)
            refused = self._ask_for_slot(run, spec)
        except InvalidSpecError as error:
            return Ended(RunState.FAILED, Reason.INVALID_PARAMS, str(error))
        except ExpressionError as error:
            return Ended(RunState.FAILED, Reason.EXPRESSION_ERROR, str(error))
        if refused is not None:
            return refused
        if run.source.plan.workspace is not None:
            run.workspace = self._folder / f"workspace-{run.uid}"
            run.workspace.mkdir()
            # Whoever its containers run as write to it.
            run.workspace.chmod(0o777)
        return Machine(run.source.plan, run.identity, run.params, now=now, control=read_control(spec))

    def _ask_for_slot(self, run: LocalRun, spec: FlowRunSpec) -> Waiting | Ended | None:
        flow, limit = run.source.flow, run.source.limit
        # A run that is nested in one of its own Flow uses that one's slot: to wait for it would be to wait for ever.
        if flow is None or limit is None or (run.parent is not None and flow in run.parent[1].callers):
            return None
        identity = run.identity
        values = {
            "params": run.params,
            "run": {
                "namespace": identity.namespace,
                "name": identity.name,
                "uid": identity.uid,
                "scheduledTime": identity.scheduled_time,
            },
        }
        claim = Claim(run.key, run.uid, run.created_at, spec.priority or 0, values)
        verdict = self._slots.request_slot(ObjectKey(run.key.namespace, flow), claim, limit)
        if isinstance(verdict, Queued):
            return Waiting(RunState.QUEUED, Reason.CONCURRENCY_LIMIT, verdict.message, verdict.position)
        if isinstance(verdict, Skipped):
            return Ended(RunState.SKIPPED, Reason.CONCURRENCY_LIMIT, verdict.message)
        if isinstance(verdict, Replaced):
            return Ended(RunState.CANCELLED, Reason.RUN_REPLACED, verdict.message)
        return None

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
            run.machine.set_control(read_control(self._spec(run)), self._clock())
        self._wake(run)

    # Steps

    def _wake(self, run: LocalRun) -> None:
        if not run.is_due:
            run.is_due = True
            asyncio.get_running_loop().call_soon(self._look, run)

    def _wake_by_key(self, key: RunKey) -> None:
        if key in self._runs:
            self._wake(self._runs[key])

    def _look(self, run: LocalRun) -> None:
        run.is_due = False
        try:
            self._advance(run)
        except Exception as error:  # noqa: BLE001 - a callback of the loop: who waits for the run raises it
            self._failure = error
        self._news.set()

    def _advance(self, run: LocalRun) -> None:
        if run.is_finished:
            return
        if run.machine is None:
            started = self._start(run)
            if isinstance(started, Ended):
                run.body["status"] = started.status(self._clock(), before=run.status)
            elif isinstance(started, Waiting):
                run.body["status"] = started.status(run.created_at)
            if not isinstance(started, Machine):
                self._tell_of(run)
                return
            run.machine = started
        machine = run.machine
        step = machine.advance(self._clock())
        self._do(run, step)
        while step.is_changed:
            changes = machine.take_changes()
            run.store(changes)
            machine.mark_stored(changes.version)
            # What waited for that to be stored, and what follows from it.
            step = machine.advance(self._clock())
            self._do(run, step)
        self._tell_of(run)
        if run.timer is not None:
            run.timer.cancel()
            run.timer = None
        if step.wake_at is not None:
            delay_s = max(0.0, step.wake_at - self._clock())
            run.timer = asyncio.get_running_loop().call_later(delay_s, self._wake, run)

    def _tell_of(self, run: LocalRun) -> None:
        """Tell of a run whose status may have changed: its parent, who waits for its slot, and the person."""
        self._audience.see(run.body)
        if run.parent is not None:
            parent, link = run.parent
            seen = observe_child(link, run.body["metadata"], run.body["spec"], run.status, now=self._clock())
            self._tell(parent, seen)
        if run.is_finished and run.source.flow is not None:
            self._slots.remove_run(ObjectKey(run.key.namespace, run.source.flow), run.uid)

    def _tell(self, run: LocalRun, fact: Fact) -> None:
        if run.machine is not None:
            run.machine.observe(fact, self._clock())
            self._wake(run)

    def _do(self, run: LocalRun, step: Step) -> None:
        for create in step.creates:
            if isinstance(create.inputs, ChildInputs):
                self._create_child(run, create, create.inputs)
            else:
                self._create_attempt(run, create)
        for stop in step.stops:
            self._stop(run, stop)
        for verify in step.verifies:
            self._verify(run, verify)
        now, scope = self._clock(), self._scope(run)
        for effect in step.cache:
            if isinstance(effect, AskCache):
                self._cache.ask(scope, run.key.name, effect, now=now, tell=lambda fact: self._tell(run, fact))
            else:
                self._cache.settle(scope, run.key.name, effect, now=now)

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
            self._audience.hear(Line(run.key.name, key.task, key.item, create.attempt, text))

        attempt = Attempt(create, pod, tell=lambda seen: self._tell(run, seen), write=write, clock=self._clock)
        pod["metadata"]["uid"] = attempt.uid
        run.attempts[attempt.name] = attempt
        self._spawn(self._live(run, attempt, plan))

    async def _live(self, run: LocalRun, attempt: Attempt, plan: TaskPlan) -> None:
        folder = self._folder / attempt.uid
        folder.mkdir()
        try:
            await attempt.live(
                self._carrier,
                self._objects,
                self._places,
                AttemptFiles(folder, run.source.scripts[plan.name] if plan.has_script else None, run.workspace),
                has_log_tail=plan.has_log_tail,
            )
        finally:
            run.attempts.pop(attempt.name, None)

    def _create_child(self, run: LocalRun, create: CreateAttempt, inputs: ChildInputs) -> None:
        problem = too_deep(run.callers, inputs.flow)
        if problem is not None:
            self._tell(run, _not_started(run, create, Reason.TOO_DEEP, problem, now=self._clock()))
            return
        child = build_child(create, run.identity, callers=run.callers, priority=run.body["spec"].get("priority"))
        self._tell_of(self._add(child, self._flows[inputs.flow], caller=run))

    def _stop(self, run: LocalRun, stop: StopAttempt) -> None:
        attempt = run.attempts.get(stop.pod)
        if attempt is not None:
            attempt.stop()
            return
        child = self._runs.get(RunKey(run.key.namespace, stop.pod))
        if child is not None:
            self._end_early(child, shutdown_of_child(run.key.name, stop.reason))

    def _verify(self, run: LocalRun, verify: VerifyAttempt) -> None:
        name = pod_name(run.key.name, run.uid, verify.key, verify.attempt)
        if name not in run.attempts and RunKey(run.key.namespace, name) not in self._runs:
            self._tell(run, AttemptGone(verify.key, verify.attempt))

    def _plan(self, run: LocalRun, task: str) -> TaskPlan:
        return run.source.plan.tasks[run.source.plan.positions[task]]

    # What goes on beside

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
        self._news.set()

    async def _clear(self) -> None:
        """Leave nothing behind that runs."""
        self.kill()
        for run in self.runs:
            if run.timer is not None:
                run.timer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)


def new_run(name: str, spec: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a FlowRun.

    Args:
        name: its name.
        spec: its spec.
        metadata: what else its metadata says.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": "FlowRun",
        "metadata": {**(metadata or {}), "name": name},
        "spec": {**spec},
    }


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
    )
