"""The engine room: everything that happens to runs goes through here, one key at a time.

Cluster -> reflector -> queue -> machine -> writer -> cluster. What the machine is told comes from Pods; what it
decides goes out at once; the status follows when it is due. A Pod whose run is not known is a stray: it waits
until its run is found, or is let go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.engine.effects import CreateAttempt, Step, StopAttempt, VerifyAttempt
from penstock.engine.facts import AttemptGone, CreateHeld, CreateRefused, Fact
from penstock.engine.identity import pod_name
from penstock.engine.state import FINAL_RUN_STATES
from penstock.errors import PenstockError
from penstock_operator.client import METADATA, ApiClient
from penstock_operator.errors import (
    ApiError,
    ApiUnreachableError,
    DeposedError,
    NotLeaderError,
    is_already_exists,
    is_conflict,
    is_namespace_terminating,
    is_not_found,
    is_precondition_failed,
    is_quota,
)
from penstock_operator.gate import QuotaGates
from penstock_operator.liverun import LiveRun, RunKey, status_patch
from penstock_operator.metadata import ObjectKey, PartialObject
from penstock_operator.metrics import Metrics
from penstock_operator.observation import Pod, observe_pod, run_uid
from penstock_operator.pod import PodSettings, build_pod
from penstock_operator.recorder import EventRecorder, Regarding
from penstock_operator.reflector import EventType
from penstock_operator.resource import FLOWRUNS, PODS
from penstock_operator.runstart import RunStarter, Started
from penstock_operator.workqueue import WorkQueue
from penstock_operator.writer import Writer

logger = logging.getLogger(__name__)

STRATEGIC_MERGE_PATCH: Final = "application/strategic-merge-patch+json"
WORKERS: Final = 32
"""Runs looked at together. Only their beginning waits for the API server; all else takes microseconds."""
RETRY_S: Final = 5.0
"""When to look again at a run that could not be looked at."""
KNOWN_GONE: Final = 10_000
"""Uids of runs known to be over or gone, so that their many Pods cost one look."""

_POD: Final = msgspec.json.Decoder(Pod)


class Lanes(NamedTuple):
    """Ways to the API server that don't hold each other up."""

    work: Writer
    """Creates and stops Pods."""
    status: Writer
    """Stores statuses."""
    release: Writer
    """Lets Pods go: the least urgent write."""


class EngineRoom:
    """Runs every FlowRun of the cluster, or of one namespace.

    Args:
        client: for reads.
        lanes: for writes.
        starter: begins runs and picks up those that have begun.
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
        recorder: EventRecorder,
        metrics: Metrics,
        epoch: int,
        settings: PodSettings,
        fail: Callable[[BaseException], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._lanes = lanes
        self._starter = starter
        self._recorder = recorder
        self._metrics = metrics
        self._epoch = epoch
        self._settings = settings
        self._fail = fail
        self._clock = clock
        self._queue: WorkQueue[RunKey] = WorkQueue()
        self._runs: dict[RunKey, LiveRun] = {}
        self._by_uid: dict[str, LiveRun] = {}
        self._bodies: dict[RunKey, Mapping[str, Any]] = {}
        self._strays: dict[str, dict[str, Pod]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._waiting_for_flow: dict[ObjectKey, set[RunKey]] = {}
        self._gates = QuotaGates()
        self._tasks: set[asyncio.Task[None]] = set()
        self._expected: set[str] = set()
        self._is_open = False
        metrics.queue_depth.set_function(lambda: self._queue.depth)
        metrics.runs_active.set_function(lambda: len(self._runs))
        metrics.tasks_running.set_function(self._count_running)

    # What the reflectors and kopf tell

    def on_pod(self, event: EventType, pod: Pod) -> None:
        """Take over a change of a Pod."""
        key = pod.metadata.key
        uid = run_uid(pod)
        run = self._by_uid.get(uid)
        if event is EventType.DELETED:
            self._strays.get(uid, {}).pop(key.name, None)
            if run is not None:
                self._on_deleted_pod(run, pod)
            return
        if run is not None:
            self._hear(run, pod)
        elif uid in self._gone:
            self._let_go_stray(pod)
        elif uid and (_is_tracked(pod) or uid in self._expected or not self._is_open):
            self._strays.setdefault(uid, {})[key.name] = pod
            name = pod.metadata.labels.get(names.LABEL_RUN)
            if name and _is_tracked(pod):
                self._queue.add(RunKey(key.namespace, name))

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
        elif run.metadata.uid not in self._gone:
            self._expected.add(run.metadata.uid)
        self._queue.add(key)

    def on_new_run(self, body: Mapping[str, Any]) -> None:
        """Take over a run that has no status yet."""
        metadata = body["metadata"]
        key = RunKey(metadata["namespace"], metadata["name"])
        known = self._runs.get(key)
        if metadata["uid"] not in self._gone and (known is None or known.uid != metadata["uid"]):
            self._bodies[key] = body
            self._queue.add(key)

    def on_flow(self, key: ObjectKey) -> None:
        """Learn that a Flow has appeared: runs may wait for it."""
        for run in self._waiting_for_flow.pop(key, ()):
            self._queue.add(run)

    def revisions_in_use(self) -> set[tuple[str, str]]:
        """Return the revisions that unfinished runs need, by namespace and name."""
        return {(run.key.namespace, run.revision) for run in self._runs.values() if run.revision is not None}

    # Work

    def open(self) -> None:
        """Begin, once all Pods and all runs that have begun were seen."""
        self._is_open = True
        for uid in [uid for uid in self._strays if uid not in self._expected]:
            # Pods that nobody waits for and that hold nothing back are of runs that are over.
            pods = {name: pod for name, pod in self._strays[uid].items() if _is_tracked(pod)}
            if pods:
                self._strays[uid] = pods
            else:
                del self._strays[uid]

    async def close(self) -> None:
        """End all writes that are under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._queue.close()

    async def work(self) -> None:
        """Look at runs for ever."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(WORKERS):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._look_at(key)
            except (DeposedError, NotLeaderError) as error:
                self._fail(error)
            except ApiUnreachableError as error:
                logger.info("%s: looked at again in %g s: %s", key, RETRY_S, error)
                self._queue.add_at(key, time.monotonic() + RETRY_S)
            except Exception:
                # One run that can't be looked at must not stop the others; it is told in the log and tried again.
                logger.exception("%s could not be looked at; tried again in %g s", key, RETRY_S)
                self._queue.add_at(key, time.monotonic() + RETRY_S)
            finally:
                self._queue.done(key)

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
        self._advance(run)

    async def _find(self, key: RunKey, body: Mapping[str, Any] | None) -> LiveRun | None:
        """Make a run known, or find that there is none to run."""
        if body is None:
            body = await self._read(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            self._abandon_strays(key, None)
            return None
        uid = body["metadata"]["uid"]
        self._abandon_strays(key, uid)
        if (body.get("status") or {}).get("state") in FINAL_RUN_STATES:
            self._forget_uid(uid)
            return None
        if key in self._runs:
            return self._runs[key]
        run = self._starter.read(key, body)
        self._expected.discard(uid)
        self._runs[key] = self._by_uid[uid] = run
        for pod in self._strays.pop(uid, {}).values():
            self._hear(run, pod)
        return run

    async def _look_again(self, run: LiveRun) -> LiveRun | None:
        """Look whether a run is still there, and what its spec says now."""
        body = await self._read(run.key)
        if body is None or body["metadata"]["uid"] != run.uid or "deletionTimestamp" in body["metadata"]:
            self._drop(run)
            return None
        run.is_doubtful = run.is_spec_stale = False
        self._starter.renew(run, body)
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
            await self._store(run, started.status, [])
        if started.is_over:
            state = started.status["state"] if started.status else "Failed"
            self._metrics.runs.labels(state).inc()
            note = started.status["message"] if started.status else ""
            self._recorder.record(_regarding(run), is_warning=True, reason=state, note=note)
            self._drop(run)
        return False

    async def _read(self, key: RunKey) -> dict[str, Any] | None:
        try:
            reply = await self._client.request("GET", FLOWRUNS.path(key.namespace, key.name))
        except ApiError as error:
            if is_not_found(error):
                return None
            raise
        return msgspec.json.decode(reply.body, type=dict[str, Any])

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
            self._spawn(self._create(run, create))
        for stop in step.stops:
            self._spawn(self._stop(run, stop))
        for release in step.releases:
            self._spawn(self._release(run.key.namespace, release.pod, release.uid))
        for verify in step.verifies:
            self._spawn(self._verify(run, verify))
        for conclusion in step.conclusions:
            self._metrics.tasks.labels(conclusion.state).inc()
            if conclusion.duration_s:
                self._metrics.task_duration.observe(conclusion.duration_s)
            self._gates.notice_room(run.key.namespace)
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
        if self._runs.get(run.key) is run:
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
            self._spawn(self._verify(run, VerifyAttempt(seen.key, seen.attempt)))

    # Writes

    async def _create(self, run: LiveRun, create: CreateAttempt) -> None:
        namespace = run.key.namespace
        if self._gates.is_closed(namespace):
            self._hold(run, create, "the namespace's quota is full")
            return
        try:
            await self._try_create(run, create)
        except _QuotaFullError as full:
            self._hold(run, create, str(full))

    def _hold(self, run: LiveRun, create: CreateAttempt, message: str) -> None:
        self._tell(run, CreateHeld(create.key, create.attempt, message))

        async def attempt() -> bool:
            if self._runs.get(run.key) is not run:
                return True
            try:
                await self._try_create(run, create)
            except _QuotaFullError:
                return False
            return True

        self._gates.wait(run.key.namespace, attempt)

    async def _try_create(self, run: LiveRun, create: CreateAttempt) -> None:
        machine = run.machine
        if self._runs.get(run.key) is not run or machine is None or run.is_terminating:
            return
        task = machine.plan.tasks[machine.plan.positions[create.key.task]]
        pod = build_pod(create, task, run.identity, flow=run.flow, revision=run.revision, settings=self._settings)
        try:
            reply = await self._lanes.work.create(PODS, run.key.namespace, msgspec.json.encode(pod), accept=METADATA)
        except ApiError as error:
            await self._on_refused(run, create, error)
        else:
            self._hear_reply(run, _POD.decode(reply.body))

    async def _on_refused(self, run: LiveRun, create: CreateAttempt, error: ApiError) -> None:
        if is_already_exists(error):
            await self._adopt(run, create)
        elif is_quota(error):
            raise _QuotaFullError(error.message)
        elif is_namespace_terminating(error):
            run.is_terminating = True
        elif is_not_found(error):
            run.is_terminating = run.is_doubtful = True
            self._queue.add(run.key)
        else:
            self._tell(run, CreateRefused(create.key, create.attempt, error.message or str(error)))

    async def _adopt(self, run: LiveRun, create: CreateAttempt) -> None:
        name = pod_name(run.key.name, run.uid, create.key, create.attempt)
        pod = await self._read_pod(run.key.namespace, name)
        if pod is None:
            # It went in between: the machine asks again.
            self._tell(run, AttemptGone(create.key, create.attempt))
            return
        seen = observe_pod(pod, now=self._clock())
        if seen is None or run_uid(pod) != run.uid or (seen.key, seen.attempt) != (create.key, create.attempt):
            message = f"a Pod named {name} exists that is not of this run"
            self._tell(run, CreateRefused(create.key, create.attempt, message))
            return
        self._hear_reply(run, pod)

    def _hear_reply(self, run: LiveRun, pod: Pod) -> None:
        if self._runs.get(run.key) is not run:
            # The run went while its Pod came.
            self._let_go_stray(pod)
            return
        self._hear(run, pod)

    async def _stop(self, run: LiveRun, stop: StopAttempt) -> None:
        try:
            await self._lanes.work.delete(PODS, run.key.namespace, stop.pod, stop.uid)
        except ApiError as error:
            if is_not_found(error) or is_conflict(error):
                await self._verify(run, VerifyAttempt(stop.key, stop.attempt))
            else:
                logger.warning("%s: the Pod %s could not be stopped: %s", run.key, stop.pod, error)

    async def _release(self, namespace: str, pod: str, uid: str) -> None:
        patch = {"metadata": {"uid": uid, "$deleteFromPrimitiveList/finalizers": [names.FINALIZER]}}
        try:
            await self._lanes.release.patch(
                PODS, namespace, pod, msgspec.json.encode(patch), content_type=STRATEGIC_MERGE_PATCH
            )
        except ApiError as error:
            if not (is_not_found(error) or is_conflict(error)):
                logger.warning("The Pod %s/%s could not be let go: %s", namespace, pod, error)

    async def _verify(self, run: LiveRun, verify: VerifyAttempt) -> None:
        name = pod_name(run.key.name, run.uid, verify.key, verify.attempt)
        pod = await self._read_pod(run.key.namespace, name)
        if pod is not None and run_uid(pod) == run.uid:
            self._hear(run, pod)
        else:
            self._tell(run, AttemptGone(verify.key, verify.attempt))

    async def _read_pod(self, namespace: str, name: str) -> Pod | None:
        while True:
            try:
                reply = await self._client.request("GET", PODS.path(namespace, name))
                return _POD.decode(reply.body)
            except ApiError as error:
                if is_not_found(error):
                    return None
                logger.info("The Pod %s/%s can't be read: %s", namespace, name, error)
            except ApiUnreachableError as error:
                logger.info("The Pod %s/%s can't be read: %s", namespace, name, error)
            await asyncio.sleep(RETRY_S)

    # The status

    async def _flush(self, run: LiveRun) -> None:
        machine = run.machine
        assert machine is not None
        # A task runs when the loop gets to it: what the same burst of events brings is in this flush.
        changes = machine.changes()
        started_at = time.monotonic()
        is_stored = False
        try:
            is_stored = await self._store(run, changes.status, changes.operations)
        except ApiError as error:
            logger.warning("%s: its status can't be stored: %s", run.key, error)
        except ApiUnreachableError as error:
            logger.info("%s: its status can't be stored now: %s", run.key, error)
        finally:
            run.flushing = None
            run.flushed(started_at, time.monotonic())
        self._metrics.status_flush_duration.observe(time.monotonic() - started_at)
        if is_stored:
            run.unstored_since = None
            machine.stored(changes.version)
            if machine.is_over and not run.is_counted:
                run.is_counted = True
                self._metrics.runs.labels(machine.state).inc()
        else:
            machine.unstored(changes)
            run.next_flush_at = max(run.next_flush_at, time.monotonic() + RETRY_S)
        self._queue.add(run.key)

    async def _store(self, run: LiveRun, status: dict[str, Any] | None, operations: list[dict[str, Any]]) -> bool:
        """Store a status; false when the run is not what it was, which is then looked into."""
        body = msgspec.json.encode(status_patch(run, self._epoch, status, operations))
        key = run.key
        try:
            await self._lanes.status.patch(
                FLOWRUNS, key.namespace, key.name, body, subresource="status", accept=METADATA
            )
        except ApiError as error:
            if is_not_found(error):
                run.is_doubtful = True
                return False
            await self._look_into(run, error)
            return False
        run.epoch = self._epoch
        run.observed_generation = run.generation
        return True

    async def _look_into(self, run: LiveRun, error: ApiError) -> None:
        """Find out why a status was refused: another leader, another run of that name, or the status itself."""
        body = await self._read(run.key)
        if body is None or body["metadata"]["uid"] != run.uid:
            run.is_doubtful = True
            return
        stored = body.get("status") or {}
        epoch = stored.get("epoch")
        if epoch is not None and epoch > self._epoch:
            raise DeposedError(f"the status of {run.key} was written by a later leader (epoch {epoch})")
        if epoch == run.epoch and (run.epoch is not None or not stored):
            if run.epoch is None and body["metadata"]["resourceVersion"] != run.resource_version:
                # Somebody labelled the run between our read and our first write.
                run.resource_version = body["metadata"]["resourceVersion"]
                return
            if not is_precondition_failed(error):
                raise error
        logger.warning("%s: somebody else changed its status; it is picked up again from there", run.key)
        await self._pick_up_again(run)

    async def _pick_up_again(self, run: LiveRun) -> None:
        """Forget what was decided for a run: it follows anew from what is stored and from its Pods."""
        self._drop(run, release=False)
        self._queue.add(run.key)
        # What these Pods waited for to be let go may be stored already: then nobody else would ask for them.
        for name in list(run.tracked):
            pod = await self._read_pod(run.key.namespace, name)
            if pod is not None:
                self.on_pod(EventType.MODIFIED, pod)

    # The end

    def _retire(self, run: LiveRun) -> None:
        """Forget a run that is over and stored."""
        self._forget_uid(run.uid)
        self._remove(run)

    def _drop(self, run: LiveRun, *, release: bool = True) -> None:
        """Forget a run that is gone, or will be picked up anew."""
        self._remove(run)
        if not release:
            return
        self._forget_uid(run.uid)
        for pod, uid in run.tracked.items():
            self._spawn(self._release(run.key.namespace, pod, uid))

    def _remove(self, run: LiveRun) -> None:
        if self._runs.get(run.key) is run:
            del self._runs[run.key]
            self._queue.forget(run.key)
        self._by_uid.pop(run.uid, None)
        self._stop_waiting(run)

    def _stop_waiting(self, run: LiveRun) -> None:
        if run.flow is None:
            return
        flow = ObjectKey(run.key.namespace, run.flow)
        waiting = self._waiting_for_flow.get(flow, set())
        waiting.discard(run.key)
        if not waiting:
            self._waiting_for_flow.pop(flow, None)

    def _forget_uid(self, uid: str) -> None:
        self._expected.discard(uid)
        self._gone[uid] = None
        if len(self._gone) > KNOWN_GONE:
            self._gone.popitem(last=False)
        for pod in self._strays.pop(uid, {}).values():
            self._let_go_stray(pod)

    def _abandon_strays(self, key: RunKey, uid: str | None) -> None:
        """Let the Pods go that say they are of this run, but are of none with its uid."""
        others = [
            other
            for other, pods in self._strays.items()
            if other != uid
            and any(
                pod.metadata.namespace == key.namespace and pod.metadata.labels.get(names.LABEL_RUN) == key.name
                for pod in pods.values()
            )
        ]
        for other in others:
            self._forget_uid(other)

    def _let_go_stray(self, pod: Pod) -> None:
        if _is_tracked(pod):
            self._spawn(self._release(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid))

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
            logger.exception("Lost work: this process starts anew from what is stored")
            self._fail(error)


class _QuotaFullError(PenstockError):
    """A ResourceQuota refused a Pod."""


def _is_tracked(pod: Pod) -> bool:
    return names.FINALIZER in pod.metadata.finalizers


def _regarding(run: LiveRun) -> Regarding:
    return Regarding("FlowRun", run.key.namespace, run.key.name, run.uid)
