"""The engine room: everything that happens to runs goes through here, one key at a time.

Cluster -> reflector -> queue -> machine -> writer -> cluster. What the machine is told comes from Pods; what it
decides goes out at once; the status follows when it is due. A Pod whose run is not known is a stray: it waits
until its run is found, or is let go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from penstock.engine.effects import Step, VerifyAttempt
from penstock.engine.facts import Fact
from penstock.engine.state import FINAL_RUN_STATES
from penstock.errors import PenstockError
from penstock_operator.attemptpods import AttemptPods, Lanes, Listener
from penstock_operator.cachestore import CacheStore
from penstock_operator.client import ApiClient
from penstock_operator.errors import ApiError, ApiUnreachableError, DeposedError, NotLeaderError
from penstock_operator.liverun import LiveRun, RunEnd, RunKey
from penstock_operator.metadata import ObjectKey, PartialObject
from penstock_operator.metrics import Metrics
from penstock_operator.observation import Pod, observe_pod, run_uid
from penstock_operator.pod import PodSettings
from penstock_operator.recorder import EventRecorder, Regarding
from penstock_operator.reflector import EventType
from penstock_operator.runstart import RunStarter, Started
from penstock_operator.statusstore import StatusStore, Stored
from penstock_operator.strays import Strays
from penstock_operator.taskcache import CacheListener, TaskCache
from penstock_operator.workers import work_through
from penstock_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)

WORKERS: Final = 32
"""Runs looked at together. Only their beginning waits for the API server; all else takes microseconds."""
RETRY_S: Final = 5.0
"""When to look again at a run that could not be looked at."""


class EngineRoom:
    """Runs every FlowRun of the cluster, or of one namespace.

    Args:
        client: for reads.
        lanes: for writes.
        starter: begins runs and picks up those that have begun.
        cache: entries of the cache of task outputs.
        recorder: for Events.
        metrics: where work is counted.
        epoch: of this leader.
        settings: what the installer decided about Pods.
        fail: told of an error after which this process must not go on.
        clock: seconds since the epoch.
    """

    def __init__(  # noqa: PLR0913 - keyword-only, named at the one call
        self,
        client: ApiClient,
        lanes: Lanes,
        *,
        starter: RunStarter,
        cache: CacheStore,
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
        self._starter = starter
        self._recorder = recorder
        self._metrics = metrics
        self._fail = fail
        self._clock = clock
        self._queue: WorkQueue[RunKey] = WorkQueue()
        self._runs: dict[RunKey, LiveRun] = {}
        self._by_uid: dict[str, LiveRun] = {}
        self._bodies: dict[RunKey, Mapping[str, Any]] = {}
        self._waiting_for_flow: dict[ObjectKey, set[RunKey]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._statuses = StatusStore(client, lanes.status, epoch=epoch)
        self._strays = Strays(self._let_go)
        listener = Listener(self._is_live, self._tell, self._hear, self._take_late, self._doubt)
        self._pods = AttemptPods(client, lanes, settings=settings, listener=listener, clock=clock)
        answers = CacheListener(self._is_live, self._tell, self._spawn)
        self._cache = TaskCache(cache, listener=answers, recorder=recorder, metrics=metrics, clock=clock)
        metrics.queue_depth.set_function(lambda: self._queue.depth)
        metrics.runs_active.set_function(lambda: len(self._runs))
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
            self._hear(run, pod)
        else:
            key = self._strays.add(pod)
            if key is not None:
                self._queue.add(key)

    def on_run(self, event: EventType, run: PartialObject) -> None:
        """Take over a change of a run that has begun and is not over, as far as its metadata shows it."""
        key = RunKey(run.metadata.namespace, run.metadata.name)
        known = self._runs.get(key)
        if event is EventType.DELETED or run.metadata.deletion_timestamp is not None:
            if known is None:
                return
            known.is_doubtful = True
        elif known is not None and known.uid == run.metadata.uid:
            if run.metadata.generation == known.generation:
                return
            known.is_spec_stale = True
        else:
            self._strays.expect(run.metadata.uid)
        self._queue.add(key)

    def on_new_run(self, body: Mapping[str, Any]) -> None:
        """Take over a run that has no status yet."""
        metadata = body["metadata"]
        key = RunKey(metadata["namespace"], metadata["name"])
        known = self._runs.get(key)
        if not self._strays.is_gone(metadata["uid"]) and (known is None or known.uid != metadata["uid"]):
            self._bodies[key] = body
            self._queue.add(key)

    def on_flow(self, key: ObjectKey) -> None:
        """Learn that a Flow has appeared: runs may wait for it."""
        for run in self._waiting_for_flow.pop(key, ()):
            self._queue.add(run)

    def revisions_in_use(self) -> set[tuple[str, str]]:
        """Return the revisions that unfinished runs need, by namespace and name."""
        return {(run.key.namespace, run.revision) for run in self._runs.values() if run.revision is not None}

    def is_carried_out(self, uid: str) -> bool:
        """Whether a run of this uid is known here and not over."""
        return uid in self._by_uid

    def unstored_since(self, uid: str) -> float | None:
        """Return since when a run has something to store, in monotonic seconds; None: it has nothing, or is over."""
        run = self._by_uid.get(uid)
        return None if run is None else run.unstored_since

    # Work

    def open(self) -> None:
        """Begin, once all Pods and all runs that have begun were seen."""
        self._strays.open()

    async def close(self) -> None:
        """End all writes that are under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._queue.close()

    async def work(self) -> None:
        """Look at runs for ever."""
        await work_through(
            self._queue, self._look_at, kind="FlowRun", workers=WORKERS, retry_s=RETRY_S, fail=self._fail
        )

    async def _look_at(self, key: RunKey) -> None:
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
        uid = body["metadata"]["uid"]
        if (body.get("status") or {}).get("state") in FINAL_RUN_STATES:
            # Perhaps the answer to the write that stored it got lost.
            self._tell_end(self._starter.read(key, body).end(body["status"]["state"]))
            self._strays.close(key, uid)
            self._strays.claim(key, None)
            return None
        pods = self._strays.claim(key, uid)
        run = self._runs[key] = self._by_uid[uid] = self._starter.read(key, body)
        for pod in pods:
            self._hear(run, pod)
        return run

    async def _look_again(self, run: LiveRun) -> LiveRun | None:
        """Look whether a run is still there, and what its spec says now."""
        body = await self._statuses.read(run.key)
        if body is None or body["metadata"]["uid"] != run.uid or "deletionTimestamp" in body["metadata"]:
            self._drop(run)
            self._tell_end(run.end(None))
            return None
        run.is_doubtful = run.is_spec_stale = False
        self._starter.renew(run, body, self._clock())
        return run

    async def _begin(self, run: LiveRun) -> bool:
        """Get a run its machine; false when it has to wait, or can't run."""
        if run.flow is not None:
            # Before its Flow is read: one that appears during the read must not be missed.
            self._waiting_for_flow.setdefault(ObjectKey(run.key.namespace, run.flow), set()).add(run.key)
        started = await self._starter.start(run, self._clock())
        if isinstance(started, Started):
            run.machine = started.machine
            self._stop_waiting(run)
            return True
        if started.status is not None:
            stored = await self._statuses.store(run, started.status, [])
            if stored is not Stored.YES:
                await self._follow_up(run, stored)
                self._queue.add(run.key)
                return False
        if started.is_over:
            state = started.status["state"] if started.status else "Failed"
            self._metrics.runs.labels(state).inc()
            note = started.status["message"] if started.status else ""
            self._recorder.record(_regarding(run), is_warning=True, reason=state, note=note)
            self._drop(run)
            self._tell_end(run.end(state))
        return False

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
            self._flush_when_due(run, is_urgent=step.is_urgent)
        elif machine.is_settled and run.flushing is None:
            self._retire(run)

    def _carry_out(self, run: LiveRun, step: Step) -> None:
        for create in step.creates:
            self._spawn(self._pods.create(run, create))
        for stop in step.stops:
            self._spawn(self._pods.stop(run, stop))
        for release in step.releases:
            self._spawn(self._pods.release(run.key.namespace, release.pod, release.uid))
        for verify in step.verifies:
            self._spawn(self._pods.verify(run, verify))
        for effect in step.cache:
            self._cache.take(run, effect)
        for conclusion in step.conclusions:
            self._metrics.tasks.labels(conclusion.state).inc()
            if conclusion.duration_s:
                self._metrics.task_duration.observe(conclusion.duration_s)
            self._pods.notice_room(run.key.namespace)
        for notice in step.notices:
            self._recorder.record(
                _regarding(run),
                is_warning=notice.is_warning,
                reason=notice.reason,
                note=notice.message,
                identity=notice.identity,
            )

    def _flush_when_due(self, run: LiveRun, *, is_urgent: bool) -> None:
        now = time.monotonic()
        if run.unstored_since is None:
            run.unstored_since = now
        if run.flushing is not None:
            return
        if is_urgent or now >= run.next_flush_at:
            run.flushing = self._spawn(self._flush(run))
        else:
            self._queue.add_at(run.key, run.next_flush_at)

    def _tell(self, run: LiveRun, fact: Fact) -> None:
        run.facts.append(fact)
        if self._is_live(run):
            self._queue.add(run.key)

    def _is_live(self, run: LiveRun) -> bool:
        return self._runs.get(run.key) is run

    def _doubt(self, run: LiveRun) -> None:
        run.is_doubtful = True
        self._queue.add(run.key)

    def _hear(self, run: LiveRun, pod: Pod) -> None:
        seen = observe_pod(pod, now=self._clock())
        if seen is None:
            return
        if seen.is_tracked:
            run.tracked[seen.pod] = seen.uid
        else:
            run.tracked.pop(seen.pod, None)
        self._tell(run, seen)

    def _on_deleted_pod(self, run: LiveRun, pod: Pod) -> None:
        run.tracked.pop(pod.metadata.name, None)
        seen = observe_pod(pod, now=self._clock())
        if seen is None:
            return
        if seen.outcome is not None and seen.is_finished:
            self._tell(run, seen)
        else:
            self._spawn(self._pods.verify(run, VerifyAttempt(seen.key, seen.attempt)))

    # The status

    async def _flush(self, run: LiveRun) -> None:
        machine = run.machine
        assert machine is not None
        # A task runs when the loop gets to it: what the same burst of events brings is in this flush.
        changes = machine.changes()
        started_at = time.monotonic()
        stored = Stored.NOT_NOW
        try:
            stored = await self._statuses.store(run, changes.status, changes.operations)
        except ApiError as error:
            logger.warning("%s: its status can't be stored: %s", run.key, error)
        except ApiUnreachableError as error:
            logger.info("%s: its status can't be stored now: %s", run.key, error)
        finally:
            run.flushing = None
            run.flushed(started_at, time.monotonic())
        self._metrics.status_flush_duration.observe(time.monotonic() - started_at)
        if stored is Stored.YES:
            run.unstored_since = None
            machine.stored(changes.version)
            if machine.is_over and not run.is_counted:
                run.is_counted = True
                self._metrics.runs.labels(machine.state).inc()
                self._tell_end(run.end(machine.state))
        else:
            machine.unstored(changes)
            run.next_flush_at = max(run.next_flush_at, time.monotonic() + RETRY_S)
            await self._follow_up(run, stored)
        self._queue.add(run.key)

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

    # The end

    def _retire(self, run: LiveRun) -> None:
        """Forget a run that is over and stored."""
        self._strays.close(run.key, run.uid)
        self._remove(run)
        self._cache.forget(run)

    def _drop(self, run: LiveRun) -> None:
        """Forget a run that is gone, or can't run."""
        self._strays.close(run.key, run.uid)
        self._remove(run)
        self._cache.forget(run)
        for pod, uid in run.tracked.items():
            self._spawn(self._pods.release(run.key.namespace, pod, uid))

    def _remove(self, run: LiveRun) -> None:
        if self._is_live(run):
            del self._runs[run.key]
            self._queue.forget(run.key)
        if self._by_uid.get(run.uid) is run:
            del self._by_uid[run.uid]
        self._stop_waiting(run)

    def _stop_waiting(self, run: LiveRun) -> None:
        if run.flow is None:
            return
        flow = ObjectKey(run.key.namespace, run.flow)
        waiting = self._waiting_for_flow.get(flow, set())
        waiting.discard(run.key)
        if not waiting:
            self._waiting_for_flow.pop(flow, None)

    def _tell_end(self, end: RunEnd) -> None:
        for told in self.on_end:
            told(end)

    def _let_go(self, pod: Pod) -> None:
        self._spawn(self._pods.release(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid))

    def _take_late(self, pod: Pod) -> None:
        # Its run is over, or was picked up anew: then it is still that run's Pod.
        self.on_pod(EventType.MODIFIED, pod)

    def _count_running(self) -> float:
        return sum(run.machine.running_units for run in self._runs.values() if run.machine is not None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (DeposedError, NotLeaderError) as error:
            self._fail(error)
        except PenstockError:
            logger.exception("A write was given up")
        except Exception as error:
            # A write that broke unforeseen leaves what is in memory in doubt; what is stored is not.
            logger.exception("Lost work: this process starts anew from what is stored")
            self._fail(error)


def _regarding(run: LiveRun) -> Regarding:
    return Regarding("FlowRun", run.key.namespace, run.key.name, run.uid)
