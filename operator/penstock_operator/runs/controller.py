"""The engine room: everything that happens to runs goes through here, one key at a time.

Cluster -> reflector -> queue -> machine -> writer -> cluster. What the machine is told comes from Pods; what it
decides goes out at once; the status follows when it is due. A Pod whose run is not known is a stray: it waits
until its run is found, or is let go.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from penstock.engine.compiler.task_plan import TaskKind
from penstock.engine.concurrency.slots import Slots
from penstock.engine.keys import ObjectKey, RunKey, TaskInstanceKey
from penstock.engine.machine.effects import Step, StopAttempt, VerifyAttempt
from penstock.engine.machine.facts import AttemptSeen, Fact
from penstock.engine.machine.inputs import ChildInputs
from penstock.engine.machine.shutdown import Shutdown, ShutdownMode
from penstock.engine.machine.unstarted import Ended, Parked
from penstock.engine.reasons import Reason
from penstock.engine.state import FINAL_RUN_STATES
from penstock.engine.workloads.pod import PodSettings
from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiUnreachableError
from penstock.kube.metadata import PartialObject
from penstock.kube.reflector import EventType
from penstock.kube.writer import Writer
from penstock_operator.flows.store import FlowStore
from penstock_operator.metrics import Metrics
from penstock_operator.runs.attempts.child_runs import ChildListener, ChildRuns
from penstock_operator.runs.attempts.pods import AttemptPods
from penstock_operator.runs.cache.lookup import CacheListener, CacheLookup
from penstock_operator.runs.cache.store import CacheStore
from penstock_operator.runs.ended import Condemned
from penstock_operator.runs.flusher import FlushListener, StatusFlusher
from penstock_operator.runs.hierarchy import FamilyListener, Hierarchy
from penstock_operator.runs.initial_sync import InitialSync
from penstock_operator.runs.listener import Listener
from penstock_operator.runs.live_run import LiveRun, RunEnd
from penstock_operator.runs.orphans import Orphans
from penstock_operator.runs.pending import AnteroomListener, PendingRuns
from penstock_operator.runs.start import RunStarter, Started, flow_name
from penstock_operator.runs.status import StatusStore, Stored
from penstock_operator.runtime.background import Background
from penstock_operator.runtime.recorder import EventRecorder
from penstock_operator.runtime.workers import run_workers
from penstock_operator.runtime.workqueue import WorkQueue
from penstock_operator.workloads.job_status import Job
from penstock_operator.workloads.pod_status import Pod, observe_pod, run_uid

logger = logging.getLogger(__name__)

WORKERS: Final = 32
"""Runs looked at together. Only their beginning waits for the API server; all else takes microseconds."""
RETRY_S: Final = 5.0
"""When to look again at a run that could not be looked at."""


class RunController:
    """Runs every FlowRun of the cluster, or of one namespace.

    Args:
        client: for reads.
        writer: for writes; background writes wait while something is learnt about runs.
        cache: entries of the cache of task outputs.
        flows: Flows and revisions.
        recorder: for Events.
        metrics: where work is counted.
        epoch: of this leader.
        settings: what the installer decided about Pods.
        fail: told of an error after which this process must not go on.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        *,
        cache: CacheStore,
        flows: FlowStore,
        recorder: EventRecorder,
        metrics: Metrics,
        epoch: int,
        settings: PodSettings,
        fail: Callable[[BaseException], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.on_end: list[Callable[[RunEnd], None]] = []
        """Told of every run that is over, once that is stored, and of every run that is gone. Now and then twice, and
        not of what ended while no operator ran: who must know that, too, lists the finished runs at its start."""
        self._recorder = recorder
        self._writer = writer
        self._metrics = metrics
        self._fail = fail
        self._clock = clock
        self._queue: WorkQueue[RunKey] = WorkQueue()
        self._runs: dict[RunKey, LiveRun] = {}
        self._by_uid: dict[str, LiveRun] = {}
        self._bodies: dict[RunKey, Mapping[str, Any]] = {}
        self._endings: dict[str, Shutdown] = {}
        """What was decided about runs that are about to be known, by uid."""
        self._condemned = Condemned()
        self._background = Background(fail)
        self._spawn = self._background.spawn
        self._statuses = StatusStore(client, writer, epoch=epoch)
        self._strays = Orphans(self._let_go)
        listener = Listener(
            is_live=self._is_live,
            tell=self._tell,
            hear=self._hear,
            lose=self._on_deleted_pod,
            stray=self._take_late,
            doubt=self._doubt,
            find=self._by_uid.get,
            spawn=self._spawn,
        )
        self._pods = AttemptPods(client, writer, settings=settings, listener=listener, clock=clock)
        answers = CacheListener(self._is_live, self._tell, self._spawn)
        self._cache = CacheLookup(cache, listener=answers, recorder=recorder, metrics=metrics, clock=clock)
        self._family = Hierarchy(FamilyListener(self._by_uid.get, self._tell, self._end_early), clock=clock)
        child_listener = ChildListener(self._is_live, self._tell, self._meet, self._end_by_name, self._doubt)
        self._child_runs = ChildRuns(self._statuses, writer, listener=child_listener, clock=clock)
        self._census = InitialSync(self._queue.add)
        self._slots = Slots(self._queue.add, self._replace)
        self._intake = RunStarter(
            flows, self._statuses, slots=self._slots, census=self._census, find=self._by_uid.get, wake=self._queue.add
        )
        anteroom_listener = AnteroomListener(self._wake_at, self._on_stored, self._follow_up)
        self._anteroom = PendingRuns(self._statuses, self._slots, recorder, listener=anteroom_listener, clock=clock)
        flush_listener = FlushListener(self._spawn, self._wake_at, self._on_stored, self._follow_up)
        self._flusher = StatusFlusher(self._statuses, metrics, flush_listener)
        metrics.queue_depth.set_function(lambda: self._queue.depth)
        metrics.runs_active.set_function(lambda: len(self._runs))
        metrics.runs_queued.set_function(lambda: self._slots.waiting)
        metrics.tasks_running.set_function(self._count_running)

    # What the reflectors and kopf tell

    def on_pod(self, event: EventType, pod: Pod) -> None:
        """Take over a change of a Pod."""
        run = self._by_uid.get(run_uid(pod))
        if event is EventType.DELETED:
            self._strays.discard(pod)
            if run is not None:
                self._on_deleted_pod(run, pod)
        elif run is not None:
            self._hear(run, pod, is_event=True)
        else:
            key = self._strays.add(pod)
            if key is not None:
                self._census.expect(key)
                self._queue.add(key)

    def on_job(self, event: EventType, job: Job) -> None:
        """Take over a change of a Job."""
        self._pods.on_job(event, job)

    def on_run(self, event: EventType, run: PartialObject) -> None:
        """Take over a change of a run that has begun and is not over, as far as its metadata shows it."""
        key = RunKey(run.metadata.namespace, run.metadata.name)
        known = self._runs.get(key)
        if event is EventType.DELETED or run.metadata.deletion_timestamp is not None:
            self._child_runs.notice_room(key.namespace)
            if known is None or (known.machine is not None and known.machine.is_over):
                # Its end takes it out of this watch. If it is deleted instead, the write of its end finds that out.
                return
            known.is_doubtful = True
        elif known is not None and known.uid == run.metadata.uid:
            if run.metadata.generation == known.generation:
                return
            known.is_spec_stale = True
        elif self._strays.is_gone(run.metadata.uid):
            # The watch is behind: we have stored its end.
            return
        else:
            self._strays.expect(run.metadata.uid)
            self._census.expect(key)
        self._queue.add(key)

    def on_new_run(self, event: EventType, body: Mapping[str, Any]) -> None:
        """Take over a change of a run that has no status yet."""
        metadata = body["metadata"]
        key = RunKey(metadata["namespace"], metadata["name"])
        known = self._runs.get(key)
        if event is EventType.DELETED:
            # Or it has a status now; then what we know of it is newer, or its reply is on the way.
            if known is None or known.uid != metadata["uid"] or known.epoch is not None or known.flushing is not None:
                return
            known.is_doubtful = True
        elif known is not None and known.uid == metadata["uid"]:
            if metadata["generation"] <= known.generation and "deletionTimestamp" not in metadata:
                return
            known.is_spec_stale = True
        elif self._strays.is_gone(metadata["uid"]):
            return
        else:
            self._bodies[key] = body
        self._queue.add(key)

    def on_flow(self, key: ObjectKey) -> None:
        """Learn that a Flow has appeared or changed: runs may wait for it, or for what its limit is now."""
        self._spawn(self._intake.on_flow(key))

    def revisions_in_use(self) -> set[tuple[str, str]]:
        """Return the revisions that unfinished runs need, by namespace and name."""
        return {(run.key.namespace, run.revision) for run in self._runs.values() if run.revision is not None}

    def is_carried_out(self, uid: str) -> bool:
        """Whether a run of this uid is known here, and its end was not told."""
        run = self._by_uid.get(uid)
        return run is not None and not run.is_counted

    def task_instances_in_progress(self, most: int) -> int:
        """Return how many tasks and items are under way, and writes about them; `most` if there are more."""
        found = self._background.in_progress
        for run in self._runs.values():
            if found >= most:
                break
            if run.machine is not None:
                found += run.machine.live_task_instances
        return min(found, most)

    def unstored_since(self, uid: str) -> float | None:
        """Return since when a run has something to store, in monotonic seconds; None: it has nothing, or is over."""
        run = self._by_uid.get(uid)
        return None if run is None else run.unstored_since

    # Work

    def open(self) -> None:
        """Begin, once all Pods and all runs that have begun were seen."""
        self._strays.open()
        self._census.open()

    async def close(self) -> None:
        """End all writes that are under way."""
        await self._pods.close()
        await self._background.close()
        self._queue.close()

    async def work(self) -> None:
        """Look at runs for ever."""
        await run_workers(self._queue, self._look_at, kind="FlowRun", workers=WORKERS, retry_s=RETRY_S, fail=self._fail)

    async def _look_at(self, key: RunKey) -> None:
        try:
            await self._look_at_run(key)
        except ApiUnreachableError:
            raise
        except Exception:
            # One run that can't be looked at must not keep all others waiting.
            self._census.strike(key)
            raise
        self._census.strike(key)

    async def _look_at_run(self, key: RunKey) -> None:
        run = self._runs.get(key)
        body = self._bodies.pop(key, None)
        if run is not None and (run.is_doubtful or run.is_spec_stale or body is not None):
            run = await self._look_again(run)
        if run is None:
            run = await self._find(key, body)
        if run is None:
            return
        if run.machine is None and not await self._begin(run):
            return
        # While we waited for the API server, the run may have been forgotten, to be picked up anew.
        if self._is_live(run):
            self._advance(run)

    async def _find(self, key: RunKey, body: Mapping[str, Any] | None) -> LiveRun | None:
        """Make a run known, or find that there is none to run."""
        if body is None:
            body = await self._statuses.read(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            self._strays.claim(key, None)
            return None
        uid, status = body["metadata"]["uid"], body.get("status") or {}
        ending = self._endings.pop(uid, None)
        if status.get("state") in FINAL_RUN_STATES:
            # Perhaps the answer to the write that stored it got lost.
            self._tell_end(RunEnd(key, uid, flow_name(body), status["state"], body["metadata"]))
            self._intake.on_run_over(key)
            if status.get("reason") == Reason.INVALID_STATUS:
                self._condemned.add(uid)
            self._strays.close(key, uid)
            self._strays.claim(key, None)
            return None
        pods = self._strays.claim(key, uid)
        run = self._runs[key] = self._by_uid[uid] = self._intake.read(key, body)
        run.ending = ending
        if pods and not status.get("tasks"):
            self._intake.hold(run)
        for pod in pods:
            self._hear(run, pod)
        self._pods.claim_jobs(run)
        self._family.add(run)
        return run

    async def _look_again(self, run: LiveRun) -> LiveRun | None:
        """Look whether a run is still there, and what its spec says now."""
        body = await self._statuses.read(run.key)
        if body is None or body["metadata"]["uid"] != run.uid or "deletionTimestamp" in body["metadata"]:
            self._family.tell_parent_of_deletion(run)
            self._drop(run)
            self._tell_end(run.end(None))
            return None
        run.is_doubtful = run.is_spec_stale = False
        self._intake.renew(run, body, self._clock())
        self._family.tell_parent(run)
        return run

    async def _begin(self, run: LiveRun) -> bool:
        """Get a run its machine; false when it has to wait, or can't run."""
        start = await self._intake.begin(run, self._clock())
        if not self._is_live(run):
            self._intake.forget(run)
            return False
        if isinstance(start, Started):
            run.machine, run.next_flush_at = start.machine, 0.0
            return True
        if isinstance(start, Parked):
            await self._anteroom.park(run, start)
        elif isinstance(start, Ended):
            await self._end_unstarted(run, start)
        return False

    async def _end_unstarted(self, run: LiveRun, ended: Ended) -> None:
        """End a run that can't go on, and what is left of it if it had begun."""
        if ended.reason is Reason.INVALID_STATUS:
            self._condemned.add(run.uid)
        if await self._anteroom.end(run, ended):
            self._stop_pods(run)
            self._family.end_children(run, None)
            self._drop(run)

    # One step

    def _advance(self, run: LiveRun) -> None:
        machine = run.machine
        assert machine is not None
        now = self._clock()
        with self._metrics.reconcile_duration.time():
            facts, run.facts = run.facts, []
            for fact in facts:
                machine.observe(fact, now)
            step = machine.advance(now, may_create=run.may_create(time.monotonic()))
        self._carry_out(run, step)
        if step.wake_at is not None:
            self._queue.add_at(run.key, time.monotonic() + max(step.wake_at - now, 0.0))
        if step.is_changed:
            self._flusher.flush_when_due(run, is_urgent=step.is_urgent)
        elif machine.is_settled and run.flushing is None:
            self._retire(run)

    def _carry_out(self, run: LiveRun, step: Step) -> None:
        for create in step.creates:
            is_child = isinstance(create.inputs, ChildInputs)
            self._spawn((self._child_runs if is_child else self._pods).create(run, create))
        for stop in step.stops:
            self._spawn(self._carrier_of(run, stop.key).stop(run, stop))
        for release in step.releases:
            self._spawn(self._pods.release(run.key.namespace, release.pod, release.uid))
        for verify in step.verifies:
            self._spawn(self._carrier_of(run, verify.key).verify(run, verify))
        for effect in step.cache:
            self._cache.take(run, effect)
        for conclusion in step.conclusions:
            self._metrics.tasks.labels(conclusion.state).inc()
            if conclusion.duration_s:
                self._metrics.task_duration.observe(conclusion.duration_s)
            self._pods.notice_room(run.key.namespace)
        for notice in step.notices:
            self._recorder.record(
                run.regarding,
                is_warning=notice.is_warning,
                reason=notice.reason,
                note=notice.message,
                identity=notice.identity,
            )

    def _carrier_of(self, run: LiveRun, key: TaskInstanceKey) -> AttemptPods | ChildRuns:
        """Return who looks after the attempts of a task."""
        assert run.machine is not None
        plan = run.machine.plan
        kind = plan.tasks[plan.positions[key.task]].kind
        return self._child_runs if kind is TaskKind.FLOW else self._pods

    def _tell(self, run: LiveRun, fact: Fact) -> None:
        run.facts.append(fact)
        self._writer.expect_writes()
        if self._is_live(run):
            self._queue.add(run.key)

    def _is_live(self, run: LiveRun) -> bool:
        return self._runs.get(run.key) is run

    def _doubt(self, run: LiveRun) -> None:
        run.is_doubtful = True
        self._queue.add(run.key)

    def _hear(self, run: LiveRun, pod: Pod, *, is_event: bool = False) -> None:
        seen = self._pods.observe(run, pod)
        if seen is None or (is_event and run.machine is not None and not run.machine.is_news(seen)):
            return
        if seen.is_tracked:
            run.tracked[seen.pod] = seen.uid
        else:
            run.tracked.pop(seen.pod, None)
        self._tell(run, seen)

    def _on_deleted_pod(self, run: LiveRun, pod: Pod) -> None:
        run.tracked.pop(pod.metadata.name, None)
        seen = self._pods.observe(run, pod, is_there=False)
        if seen is None:
            return
        if seen.outcome is not None and seen.is_finished:
            self._tell(run, seen)
        else:
            self._spawn(self._pods.verify(run, VerifyAttempt(seen.key, seen.attempt)))

    # Children, and runs that make room for others

    def _meet(self, body: Mapping[str, Any], shutdown: Shutdown | None) -> None:
        """Take over a child run, as its parent's task found it."""
        metadata = body["metadata"]
        key = RunKey(metadata["namespace"], metadata["name"])
        if shutdown is not None and not self._end_by_name(key, metadata["uid"], shutdown):
            self._endings[metadata["uid"]] = shutdown
        self.on_new_run(EventType.ADDED, body)

    def _end_by_name(self, key: RunKey, uid: str, shutdown: Shutdown) -> bool:
        run = self._runs.get(key)
        if run is None or run.uid != uid:
            return False
        self._end_early(run, shutdown)
        return True

    def _end_early(self, run: LiveRun, shutdown: Shutdown) -> None:
        """End a run because somebody else decided so: its status says who and why."""
        if run.machine is not None:
            run.machine.shut_down(shutdown.mode, shutdown.reason, shutdown.message, self._clock())
        elif run.ending is None or run.ending.mode < shutdown.mode:
            run.ending = shutdown
        self._queue.add(run.key)

    def _replace(self, key: RunKey, message: str) -> None:
        run = self._runs.get(key)
        if run is not None:
            self._recorder.record(run.regarding, is_warning=True, reason="Replaced", note=message)
            self._end_early(run, Shutdown(ShutdownMode.CANCEL, Reason.RUN_REPLACED, message))

    # The status

    def _on_stored(self, run: LiveRun) -> None:
        """Act on what a run's status says, now that it is stored."""
        self._family.tell_parent(run)
        state = run.head["state"]
        if run.is_counted or state not in FINAL_RUN_STATES:
            return
        run.is_counted = True
        self._metrics.runs.labels(state).inc()
        # Not before: to start the next one while a crash could still show two of them at work would break the limit.
        self._intake.leave(run)
        self._intake.on_run_over(run.key)
        self._tell_end(run.end(state))

    async def _follow_up(self, run: LiveRun, stored: Stored) -> None:
        """Look into why a status was not stored."""
        if stored is Stored.RUN_GONE:
            self._doubt(run)
        elif stored is Stored.CHANGED_BY_OTHERS:
            logger.warning("%s: somebody else changed its status; it is picked up again from there", run.key)
            await self._pick_up_again(run)

    async def _pick_up_again(self, run: LiveRun) -> None:
        """Forget what was decided for a run: it follows anew from what is stored and from its Pods."""
        self._remove(run)
        self._queue.add(run.key)
        # What these Pods waited for to be let go may be stored already: then nobody else would ask for them.
        for name in list(run.tracked):
            pod = await self._pods.read(run.key.namespace, name)
            if pod is not None:
                self.on_pod(EventType.MODIFIED, pod)

    def _wake_at(self, run: LiveRun, when: float) -> None:
        if self._is_live(run):
            self._queue.add_at(run.key, when)

    # The end

    def _retire(self, run: LiveRun) -> None:
        """Forget a run that is over and stored."""
        self._strays.close(run.key, run.uid)
        self._family.end_children(run, (run.head.get("shutdown") or {}).get("reason"))
        self._remove(run)
        self._cache.forget(run)

    def _drop(self, run: LiveRun) -> None:
        """Forget a run that is gone, or can't run."""
        self._strays.close(run.key, run.uid)
        self._remove(run)
        self._cache.forget(run)
        self._intake.on_run_over(run.key)
        for pod, uid in run.tracked.items():
            self._spawn(self._pods.release(run.key.namespace, pod, uid))

    def _remove(self, run: LiveRun) -> None:
        if self._is_live(run):
            del self._runs[run.key]
            self._queue.forget(run.key)
        if self._by_uid.get(run.uid) is run:
            del self._by_uid[run.uid]
        self._flusher.forget(run)
        self._family.remove(run)
        self._intake.forget(run)

    def _stop_pods(self, run: LiveRun) -> None:
        """Stop what is known of the Pods of a run that has no machine to do so."""
        pods = {fact.pod: fact for fact in run.facts if isinstance(fact, AttemptSeen)}
        for seen in pods.values():
            if not (seen.is_finished or seen.is_deleting or seen.uid in self._by_uid):
                self._spawn(self._pods.stop(run, StopAttempt(seen.key, seen.attempt, seen.pod, seen.uid)))

    def _tell_end(self, end: RunEnd) -> None:
        for told in self.on_end:
            told(end)

    def _let_go(self, pod: Pod) -> None:
        metadata = pod.metadata
        if run_uid(pod) in self._condemned and metadata.deletion_timestamp is None:
            seen = observe_pod(pod, now=self._clock())
            if seen is not None and not seen.is_finished:
                self._spawn(self._pods.discard(pod))
        self._spawn(self._pods.release(metadata.namespace, metadata.name, metadata.uid))

    def _take_late(self, pod: Pod) -> None:
        # Its run is over, or was picked up anew: then it is still that run's Pod.
        self.on_pod(EventType.MODIFIED, pod)

    def _count_running(self) -> float:
        return sum(run.machine.running_task_instances for run in self._runs.values() if run.machine is not None)
