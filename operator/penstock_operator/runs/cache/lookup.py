"""The cache of task outputs: one ConfigMap per key, whose creation is the lock.

A task that finds none creates one and runs; one that finds the lock of a live run waits for it; one that finds outputs
reuses them. Everything about one key goes through one worker, in order, so that no task of this process overtakes
another; other processes are excluded by conditional writes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec

from penstock.engine.cache import carries_code, flow_scope
from penstock.engine.keys import ObjectKey, RunUid, TaskInstanceKey
from penstock.engine.machine.effects.effects import AskCache, ReleaseCacheLock
from penstock.engine.machine.facts import CacheBusy, CacheHit, CacheMiss
from penstock.kube.errors import ApiError, DeposedError, NotLeaderError, is_namespace_terminating
from penstock.kube.metadata import ObjectMeta
from penstock_operator.metrics import Metrics
from penstock_operator.runs.cache.entry import EntryLabels, Holder, Lock, Outputs, StoredEntry, entry_name, read_entry
from penstock_operator.runs.cache.store import CacheStore
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runtime.bounded import BoundedMap
from penstock_operator.runtime.parking import describe_error
from penstock_operator.runtime.recorder import EventRecorder, Regarding

logger = logging.getLogger(__name__)

RECHECK_S: Final = 30.0
"""The lock of another run is read again after so long: a run of another process may have freed it unnoticed."""
KNOWN_WRITTEN: Final = 10_000
"""Entries of this process that are remembered; an earlier one is proved by its run."""
TRIES: Final = 5
"""Reads of an entry that others keep changing; then the task runs without the cache."""


class _TaskInstanceOfRun(NamedTuple):
    run: RunUid
    key: TaskInstanceKey


class _Question(NamedTuple):
    """A task or item that waits for an answer."""

    run: LiveRun
    ask: AskCache

    @property
    def instance(self) -> _TaskInstanceOfRun:
        return _TaskInstanceOfRun(self.run.run_uid, self.ask.key)


class _Version(NamedTuple):
    """One state of an entry."""

    uid: str
    resource_version: str


class _Held(NamedTuple):
    """A lock that this process took, and has not seen changed."""

    holder: Holder
    metadata: ObjectMeta


@dataclass(slots=True)
class _KeyWorker:
    """The state of the worker of one key.

    Attributes:
        questions: by run and task instance, in the order in which they came.
        releases: outcomes of locked tasks, which are stored before questions are answered.
        messages: what was last reported to each question that waits.
        wake: set when there is something to do.
        blocker: the run that is waited for.
    """

    questions: dict[_TaskInstanceOfRun, _Question] = field(default_factory=dict)
    releases: deque[tuple[LiveRun, ReleaseCacheLock]] = field(default_factory=deque)
    messages: dict[_TaskInstanceOfRun, str] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    blocker: RunUid | None = None

    def drop_question(self, instance: _TaskInstanceOfRun) -> _Question | None:
        """Remove and return a question."""
        self.messages.pop(instance, None)
        return self.questions.pop(instance, None)


class CacheLookup:
    """Answers for the outputs of tasks that have a cache key.

    Args:
        store: the entries.
        registry: receives the answers.
        recorder: for Events.
        metrics: where answers are counted.
        clock: seconds since the epoch.
        has_policy: whether the chart's admission policy is in force: only the operator writes entries.
        recheck_s: see RECHECK_S.
    """

    def __init__(
        self,
        store: CacheStore,
        registry: RunRegistry,
        *,
        recorder: EventRecorder,
        metrics: Metrics,
        clock: Callable[[], float],
        has_policy: bool,
        recheck_s: float = RECHECK_S,
    ) -> None:
        self._store = store
        self._registry = registry
        self._recorder = recorder
        self._lookups = metrics.cache_lookups
        self._clock = clock
        self._has_policy = has_policy
        self._recheck_s = recheck_s
        self._written: BoundedMap[ObjectKey, _Version] = BoundedMap(KNOWN_WRITTEN)
        """Outputs that this process stored."""
        self._workers: dict[ObjectKey, _KeyWorker] = {}
        self._blocked: dict[RunUid, set[ObjectKey]] = {}
        """Keys that wait for a run."""
        self._held: dict[ObjectKey, _Held] = {}
        self._held_by_run: dict[RunUid, set[ObjectKey]] = {}
        self._scopes: dict[RunUid, str] = {}
        self._warned: set[RunUid] = set()
        """Runs with an Event that says that they run without the cache."""

    def handle_effect(self, run: LiveRun, effect: AskCache | ReleaseCacheLock) -> None:
        """Handle a question or an outcome from a run's machine."""
        key = ObjectKey(run.key.namespace, entry_name(self._scope(run), effect.digest))
        worker = self._workers.get(key)
        if worker is None:
            worker = self._workers[key] = _KeyWorker()
            self._registry.spawn_about("cache entry", key, self._serve(key, worker))
        worker.drop_question(_TaskInstanceOfRun(run.run_uid, effect.key))
        if isinstance(effect, AskCache):
            question = _Question(run, effect)
            worker.questions[question.instance] = question
        else:
            worker.releases.append((run, effect))
        worker.wake.set()

    def forget_run(self, run: LiveRun) -> None:
        """Forget a run that has finished or was deleted: keys that wait for it are read again."""
        for key in list(self._held_by_run.get(run.run_uid, ())):
            self._forget_lock(key)
        for key in self._blocked.get(run.run_uid, ()):
            self._workers[key].wake.set()
        self._scopes.pop(run.run_uid, None)
        self._warned.discard(run.run_uid)

    def _scope(self, run: LiveRun) -> str:
        scope = self._scopes.get(run.run_uid)
        if scope is None:
            spec = run.object.inline_spec
            # A run with neither a Flow nor an inline spec shares with no other run.
            content = msgspec.json.encode(run.uid if spec is None else spec, order="deterministic")
            scope = self._scopes[run.run_uid] = flow_scope(run.flow, hashlib.sha256(content).hexdigest())
        return scope

    # The worker of a key

    async def _serve(self, key: ObjectKey, worker: _KeyWorker) -> None:
        """Work on one key until no question and no outcome is left."""
        needs_recheck = False
        try:
            while worker.releases or worker.questions:
                worker.wake.clear()
                if worker.releases:
                    try:
                        await self._release_lock(key, *worker.releases.popleft())
                    except (DeposedError, NotLeaderError):
                        raise
                    except Exception as error:  # noqa: BLE001 - counted and logged
                        # A lock that is left is found to be out of date.
                        self._registry.count_error("cache entry", key, error)
                    continue
                for question in list(worker.questions.values()):
                    if not self._registry.is_live(question.run):
                        worker.drop_question(question.instance)
                self._set_blocker(key, worker, None)
                if worker.questions:
                    await self._answer(key, worker, needs_recheck=needs_recheck)
                needs_recheck = worker.blocker is not None and await self._wait(key, worker)
        finally:
            self._set_blocker(key, worker, None)
            del self._workers[key]

    async def _wait(self, key: ObjectKey, worker: _KeyWorker) -> bool:
        """Wait until something happens to a blocked key; true when it is time to read its entry again."""
        try:
            async with asyncio.timeout(self._recheck_s):
                await worker.wake.wait()
        except TimeoutError:
            logger.debug("Cache entry %s: read again", key)
            return True
        return False

    def _set_blocker(self, key: ObjectKey, worker: _KeyWorker, uid: RunUid | None) -> None:
        """Set the run that a key waits for."""
        if worker.blocker is not None:
            _discard(self._blocked, worker.blocker, key)
        worker.blocker = uid
        if uid is not None:
            self._blocked.setdefault(uid, set()).add(key)

    def _forget_lock(self, key: ObjectKey) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            _discard(self._held_by_run, RunUid(key.namespace, held.holder.uid), key)

    # Questions

    async def _answer(self, key: ObjectKey, worker: _KeyWorker, *, needs_recheck: bool) -> None:
        """Answer the first question, and others with it where that needs nothing more."""
        question = next(iter(worker.questions.values()))
        holder = _holder(question.run, question.ask.key)
        held = self._held.get(key)
        try:
            if held is None or needs_recheck:
                await self._read_entry(key, worker, question, holder)
            elif held.holder == holder:
                self._answer_miss(worker, question.instance)
            else:
                self._answer_busy(key, worker, held.holder)
        except (DeposedError, NotLeaderError):
            raise
        except ApiError as error:
            reason = None if is_namespace_terminating(error) else error.message or str(error)
            self._answer_unavailable(worker, question.instance, reason)
        except Exception as error:  # noqa: BLE001 - counted and logged
            self._registry.count_error("cache entry", key, error)
            self._answer_unavailable(worker, question.instance, describe_error(error))

    async def _read_entry(self, key: ObjectKey, worker: _KeyWorker, question: _Question, holder: Holder) -> None:
        """Read the entry, and reuse its outputs, wait for its lock, or take the lock."""
        labels, lock = _labels(question.run, question.ask.key), Lock(holder, self._clock())
        for _ in range(TRIES):
            found = await self._store.get_entry(key)
            if found is None:
                metadata = await self._store.create_entry(key, labels, lock)
            else:
                content = read_entry(found, self._clock())
                if isinstance(content, Outputs) and not await self._is_proved(found.metadata, content):
                    content = None
                if isinstance(content, Outputs) and self._answer_hits(worker, content, question.instance):
                    return
                if isinstance(content, Lock) and (
                    content.holder == holder or _instance(key.namespace, content.holder) in worker.questions
                ):
                    # An earlier leader took it for a task that asks again, maybe after others that would wait for it.
                    holder, metadata = content.holder, found.metadata
                else:
                    if isinstance(content, Lock) and await self._has_to_wait(key, worker, content):
                        return
                    self._log_replacement(key, found, content)
                    metadata = await self._store.replace_entry(key, found.metadata, labels, lock)
            if metadata is not None:
                self._forget_lock(key)
                self._held[key] = _Held(holder, metadata)
                self._held_by_run.setdefault(RunUid(key.namespace, holder.uid), set()).add(key)
                self._answer_miss(worker, _instance(key.namespace, holder))
                return
        raise ApiError(HTTPStatus.CONFLICT, "Conflict", f"other writers keep changing the ConfigMap {key.name}")

    async def _is_proved(self, metadata: ObjectMeta, outputs: Outputs) -> bool:
        """Whether outputs may be reused that run code in the Pod that takes them: an operator must have stored them.

        Without the admission policy whoever may write ConfigMaps can forge an entry. But a run's status is written by
        operators alone.
        """
        if self._has_policy or not carries_code(outputs.value):
            return True
        if self._written.get(metadata.key) == _Version(metadata.uid, metadata.resource_version):
            return True
        source = outputs.source
        return source is not None and await self._store.has_outputs(metadata.namespace, source, outputs.value)

    async def _has_to_wait(self, key: ObjectKey, worker: _KeyWorker, lock: Lock) -> bool:
        """Whether the lock's holder still runs, or its outcome has just come in."""
        if await self._store.is_holder_running(key.namespace, lock.holder):
            self._answer_busy(key, worker, lock.holder)
            return True
        return bool(worker.releases)

    def _log_replacement(self, key: ObjectKey, found: StoredEntry, content: Lock | Outputs | None) -> None:
        if content is None:
            logger.warning("ConfigMap %s is not a valid cache entry, or nothing proves it; replacing it", key)
        elif isinstance(content, Lock):
            logger.info("Cache entry %s: FlowRun %s no longer holds its lock; taking it", key, content.holder.run)
        else:
            logger.debug("Cache entry %s: the outputs of version %s are too old", key, found.metadata.resource_version)

    def _answer_hits(self, worker: _KeyWorker, outputs: Outputs, first: _TaskInstanceOfRun) -> bool:
        """Answer all questions for which outputs are fresh; returns whether the first is among them."""
        now = self._clock()
        for question in list(worker.questions.values()):
            if outputs.is_fresh(now, question.ask.ttl_s):
                worker.drop_question(question.instance)
                self._lookups.labels("hit").inc()
                self._registry.record_fact(question.run, CacheHit(question.ask.key, outputs.value, outputs.run))
        return first not in worker.questions

    def _answer_miss(self, worker: _KeyWorker, instance: _TaskInstanceOfRun) -> None:
        # It may have been withdrawn during the read; then the release that follows frees the lock.
        question = worker.drop_question(instance)
        if question is not None:
            self._lookups.labels("miss").inc()
            self._registry.record_fact(question.run, CacheMiss(instance.key))

    def _answer_busy(self, key: ObjectKey, worker: _KeyWorker, holder: Holder) -> None:
        """Have all questions wait for a holder."""
        self._set_blocker(key, worker, RunUid(key.namespace, holder.uid))
        task = holder.key.task if holder.key.item is None else f"{holder.key.task}[{holder.key.item}]"
        for instance, question in worker.questions.items():
            whose = "this run" if instance.run.uid == holder.uid else f"run {holder.run}"
            message = f"waiting for task {task} of {whose}, which has the same cache key"
            if worker.messages.get(instance) != message:
                worker.messages[instance] = message
                self._registry.record_fact(question.run, CacheBusy(instance.key, message))

    def _answer_unavailable(self, worker: _KeyWorker, instance: _TaskInstanceOfRun, reason: str | None) -> None:
        """Let a task run although the cache is not available; without a reason there is no Event about it."""
        question = worker.drop_question(instance)
        if question is None:
            return
        self._lookups.labels("unavailable").inc()
        self._registry.record_fact(question.run, CacheMiss(instance.key))
        if instance.run in self._warned or reason is None:
            return
        self._warned.add(instance.run)
        run = question.run
        self._recorder.record(
            Regarding("FlowRun", run.key.namespace, run.key.name, run.uid),
            is_warning=True,
            reason="CacheUnavailable",
            note=(
                f"the cache is not available, so task {instance.key.task} runs without it (others may too): {reason}"
            ),
            identity="cache",
        )

    # Outcomes

    async def _release_lock(self, key: ObjectKey, run: LiveRun, release: ReleaseCacheLock) -> None:
        """Replace a lock by outputs, or delete it."""
        holder = _holder(run, release.key)
        held = self._held.get(key)
        lock = held.metadata if held is not None and held.holder == holder else None
        if lock is not None:
            self._forget_lock(key)
        try:
            await self._store_outcome(key, run, release, holder, lock)
        except ApiError as error:
            # The task has succeeded all the same; a full quota was reported when the lock was taken.
            logger.info("Cache entry %s: failed to store the outputs of FlowRun %s: %s", key, run.key, error)

    async def _store_outcome(
        self, key: ObjectKey, run: LiveRun, release: ReleaseCacheLock, holder: Holder, lock: ObjectMeta | None
    ) -> None:
        labels, outputs = _labels(run, release.key), None
        if release.outputs is not None:
            outputs = Outputs(run.key.name, holder, self._clock(), release.ttl_s, release.outputs)
        for _ in range(TRIES):
            if lock is None:
                found = await self._store.get_entry(key)
                if found is None:
                    if outputs is not None:
                        self._note_written(key, await self._store.create_entry(key, labels, outputs))
                    return
                content = read_entry(found, self._clock())
                if not isinstance(content, Lock) or content.holder != holder:
                    return
                lock = found.metadata
            if outputs is None:
                is_done = await self._store.delete_entry(key, lock)
            else:
                is_done = self._note_written(key, await self._store.replace_entry(key, lock, labels, outputs))
            if is_done:
                return
            lock = None

    def _note_written(self, key: ObjectKey, written: ObjectMeta | None) -> bool:
        """Remember outputs that were stored; false if another writer was first."""
        if written is None:
            return False
        self._written[key] = _Version(written.uid, written.resource_version)
        return True


def _holder(run: LiveRun, key: TaskInstanceKey) -> Holder:
    return Holder(run.key.name, run.uid, key)


def _instance(namespace: str, holder: Holder) -> _TaskInstanceOfRun:
    return _TaskInstanceOfRun(RunUid(namespace, holder.uid), holder.key)


def _labels(run: LiveRun, key: TaskInstanceKey) -> EntryLabels:
    return EntryLabels(run.flow, key.task)


def _discard(index: dict[RunUid, set[ObjectKey]], uid: RunUid, key: ObjectKey) -> None:
    keys = index.get(uid)
    if keys is not None:
        keys.discard(key)
        if not keys:
            del index[uid]
