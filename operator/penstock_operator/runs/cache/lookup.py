"""The cache of task outputs: one ConfigMap per key, whose creation is the lock.

Who finds none creates one and runs the task; who finds the lock of a live run waits for it; who finds outputs reuses
them. Everything about one key goes over one desk, in order, so that nobody in this process overtakes anybody; other
processes are held off by conditional writes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec

from penstock.engine.cache import flow_scope
from penstock.engine.keys import ObjectKey, TaskInstanceKey
from penstock.engine.machine.effects import AskCache, ReleaseCacheLock
from penstock.engine.machine.facts import CacheBusy, CacheHit, CacheMiss, Fact
from penstock.kube.errors import ApiError, is_namespace_terminating
from penstock.kube.metadata import ObjectMeta
from penstock_operator.metrics import Metrics
from penstock_operator.runs.cache.entry import EntryLabels, Holder, Lock, Outputs, StoredEntry, entry_name, read_entry
from penstock_operator.runs.cache.store import CacheStore
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runtime.recorder import EventRecorder, Regarding

logger = logging.getLogger(__name__)

LOOK_AGAIN_S: Final = 30.0
"""A lock of another run is looked at again after so long, in case nobody tells that it is free."""
TRIES: Final = 5
"""Looks at a key that changes under our hands; then the task runs without the cache."""


@dataclass(frozen=True, slots=True)
class CacheListener:
    """Who hears the answers.

    Attributes:
        is_live: whether a run is still the one of its name that is carried out.
        tell: takes a fact about a run.
        spawn: runs a coroutine beside others, and looks after what it raises.
    """

    is_live: Callable[[LiveRun], bool]
    tell: Callable[[LiveRun, Fact], None]
    spawn: Callable[[Coroutine[Any, Any, None]], object]


class _TaskInstanceOfRun(NamedTuple):
    uid: str
    key: TaskInstanceKey


class _Question(NamedTuple):
    """A task or item that waits for an answer."""

    run: LiveRun
    ask: AskCache

    @property
    def unit(self) -> _TaskInstanceOfRun:
        return _TaskInstanceOfRun(self.run.uid, self.ask.key)


class _Held(NamedTuple):
    """A lock that this process took, and has not seen changed."""

    holder: Holder
    metadata: ObjectMeta


@dataclass(slots=True)
class _KeyWorker:
    """Where one key is dealt with.

    Attributes:
        questions: by run and unit, in the order in which they came.
        settlements: what is to be stored first.
        told: what each of those who wait was told last.
        wake: set when there is something to do.
        blocker: uid of the run that is waited for.
    """

    questions: dict[_TaskInstanceOfRun, _Question] = field(default_factory=dict)
    settlements: deque[tuple[LiveRun, ReleaseCacheLock]] = field(default_factory=deque)
    told: dict[_TaskInstanceOfRun, str] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    blocker: str | None = None

    def drop(self, unit: _TaskInstanceOfRun) -> _Question | None:
        """Take a question off the desk."""
        self.told.pop(unit, None)
        return self.questions.pop(unit, None)


class CacheLookup:
    """Answers for the outputs of tasks that have a cache key.

    Args:
        store: the entries.
        listener: who hears the answers.
        recorder: for Events.
        metrics: where answers are counted.
        clock: seconds since the epoch.
        look_again_s: see LOOK_AGAIN_S.
    """

    def __init__(
        self,
        store: CacheStore,
        *,
        listener: CacheListener,
        recorder: EventRecorder,
        metrics: Metrics,
        clock: Callable[[], float],
        look_again_s: float = LOOK_AGAIN_S,
    ) -> None:
        self._store = store
        self._listener = listener
        self._recorder = recorder
        self._lookups = metrics.cache_lookups
        self._clock = clock
        self._look_again_s = look_again_s
        self._desks: dict[ObjectKey, _KeyWorker] = {}
        self._blocked: dict[str, set[ObjectKey]] = {}
        """Keys that wait for a run, by its uid."""
        self._held: dict[ObjectKey, _Held] = {}
        self._held_by_run: dict[str, set[ObjectKey]] = {}
        self._scopes: dict[str, str] = {}
        """By uid of the run."""
        self._complained: set[str] = set()
        """Uids of runs that were told that they run without the cache."""

    def take(self, run: LiveRun, effect: AskCache | ReleaseCacheLock) -> None:
        """Take over a question or an outcome from a run's machine."""
        key = ObjectKey(run.key.namespace, entry_name(self._scope(run), effect.digest))
        desk = self._desks.get(key)
        if desk is None:
            desk = self._desks[key] = _KeyWorker()
            self._listener.spawn(self._serve(key, desk))
        desk.drop(_TaskInstanceOfRun(run.uid, effect.key))
        if isinstance(effect, AskCache):
            question = _Question(run, effect)
            desk.questions[question.unit] = question
        else:
            desk.settlements.append((run, effect))
        desk.wake.set()

    def forget(self, run: LiveRun) -> None:
        """Learn that a run is over or gone: those who wait for it look again."""
        for key in list(self._held_by_run.get(run.uid, ())):
            self._let_go(key)
        for key in self._blocked.get(run.uid, ()):
            self._desks[key].wake.set()
        self._scopes.pop(run.uid, None)
        self._complained.discard(run.uid)

    def _scope(self, run: LiveRun) -> str:
        scope = self._scopes.get(run.uid)
        if scope is None:
            spec = (run.body.get("spec") or {}).get("flowSpec")
            # A run that has neither a Flow nor a spec of its own shares with nobody.
            content = msgspec.json.encode(run.uid if spec is None else spec, order="deterministic")
            scope = self._scopes[run.uid] = flow_scope(run.flow, hashlib.sha256(content).hexdigest())
        return scope

    # A desk

    async def _serve(self, key: ObjectKey, desk: _KeyWorker) -> None:
        """Deal with one key until nobody asks for it any more."""
        is_doubtful = False
        try:
            while desk.settlements or desk.questions:
                desk.wake.clear()
                if desk.settlements:
                    await self._settle(key, *desk.settlements.popleft())
                    continue
                for question in list(desk.questions.values()):
                    if not self._listener.is_live(question.run):
                        desk.drop(question.unit)
                self._wait_for(key, desk, None)
                if desk.questions:
                    await self._answer(key, desk, is_doubtful=is_doubtful)
                is_doubtful = desk.blocker is not None and await self._rest(key, desk)
        finally:
            self._wait_for(key, desk, None)
            del self._desks[key]

    async def _rest(self, key: ObjectKey, desk: _KeyWorker) -> bool:
        """Wait until something happens to a key that is blocked; true when nothing did for long."""
        try:
            async with asyncio.timeout(self._look_again_s):
                await desk.wake.wait()
        except TimeoutError:
            logger.debug("%s: looked at again", key)
            return True
        return False

    def _wait_for(self, key: ObjectKey, desk: _KeyWorker, uid: str | None) -> None:
        """Note which run a key waits for."""
        if desk.blocker is not None:
            _discard(self._blocked, desk.blocker, key)
        desk.blocker = uid
        if uid is not None:
            self._blocked.setdefault(uid, set()).add(key)

    def _let_go(self, key: ObjectKey) -> None:
        """Forget who holds a key."""
        held = self._held.pop(key, None)
        if held is not None:
            _discard(self._held_by_run, held.holder.uid, key)

    # Questions

    async def _answer(self, key: ObjectKey, desk: _KeyWorker, *, is_doubtful: bool) -> None:
        """Answer the first question, and others with it where that needs nothing more."""
        question = next(iter(desk.questions.values()))
        holder = _holder(question.run, question.ask.key)
        held = self._held.get(key)
        try:
            if held is None or is_doubtful:
                await self._look(key, desk, question, holder)
            elif held.holder == holder:
                self._miss(desk, question.unit)
            else:
                self._hold_off(key, desk, held.holder)
        except ApiError as error:
            self._go_without(desk, question.unit, error)

    async def _look(self, key: ObjectKey, desk: _KeyWorker, question: _Question, holder: Holder) -> None:
        """Look at the entry, and reuse it, wait for it, or take it over."""
        labels, lock = _labels(question.run, question.ask.key), Lock(holder, self._clock())
        for _ in range(TRIES):
            found = await self._store.read(key)
            if found is None:
                metadata = await self._store.create(key, labels, lock)
            else:
                content = read_entry(found, self._clock())
                if isinstance(content, Outputs) and self._hit(desk, content, question.unit):
                    return
                if isinstance(content, Lock) and content.holder == holder:
                    metadata = found.metadata
                else:
                    if isinstance(content, Lock) and await self._is_in_use(key, desk, content):
                        return
                    self._say_why(key, found, content)
                    metadata = await self._store.replace(key, found.metadata, labels, lock)
            if metadata is not None:
                self._let_go(key)
                self._held[key] = _Held(holder, metadata)
                self._held_by_run.setdefault(holder.uid, set()).add(key)
                self._miss(desk, question.unit)
                return
        raise ApiError(HTTPStatus.CONFLICT, "Conflict", f"the ConfigMap {key.name} changes all the time")

    async def _is_in_use(self, key: ObjectKey, desk: _KeyWorker, lock: Lock) -> bool:
        """Whether there is nothing to be had now: the lock's holder is at it, or its outcome has just come in."""
        if await self._store.is_alive(key.namespace, lock.holder):
            self._hold_off(key, desk, lock.holder)
            return True
        return bool(desk.settlements)

    def _say_why(self, key: ObjectKey, found: StoredEntry, content: Lock | Outputs | None) -> None:
        if content is None:
            logger.warning("The ConfigMap %s is no entry of the cache: it is replaced", key)
        elif isinstance(content, Lock):
            logger.info("%s: the lock of run %s is void: it is taken over", key, content.holder.run)
        else:
            logger.debug("%s: outputs of %s are too old", key, found.metadata.resource_version)

    def _hit(self, desk: _KeyWorker, outputs: Outputs, first: _TaskInstanceOfRun) -> bool:
        """Give outputs to all for whom they are fresh; returns whether the first is among them."""
        now = self._clock()
        for question in list(desk.questions.values()):
            if outputs.is_fresh(now, question.ask.ttl_s):
                desk.drop(question.unit)
                self._lookups.labels("hit").inc()
                self._listener.tell(question.run, CacheHit(question.ask.key, outputs.value, outputs.run))
        return first not in desk.questions

    def _miss(self, desk: _KeyWorker, unit: _TaskInstanceOfRun) -> None:
        # It may have been taken back while we looked; then its settlement frees the lock.
        question = desk.drop(unit)
        if question is not None:
            self._lookups.labels("miss").inc()
            self._listener.tell(question.run, CacheMiss(unit.key))

    def _hold_off(self, key: ObjectKey, desk: _KeyWorker, holder: Holder) -> None:
        """Have all wait for a holder."""
        self._wait_for(key, desk, holder.uid)
        task = holder.key.task if holder.key.item is None else f"{holder.key.task}[{holder.key.item}]"
        for unit, question in desk.questions.items():
            whose = "this run" if unit.uid == holder.uid else f"run {holder.run}"
            message = f"{task} of {whose} runs with the same cache key; its outputs are waited for"
            if desk.told.get(unit) != message:
                desk.told[unit] = message
                self._listener.tell(question.run, CacheBusy(unit.key, message))

    def _go_without(self, desk: _KeyWorker, unit: _TaskInstanceOfRun, error: ApiError) -> None:
        """Let a task run although the cache can't be had."""
        question = desk.drop(unit)
        if question is None:
            return
        self._lookups.labels("unavailable").inc()
        self._listener.tell(question.run, CacheMiss(unit.key))
        if unit.uid in self._complained or is_namespace_terminating(error):
            return
        self._complained.add(unit.uid)
        run = question.run
        self._recorder.record(
            Regarding("FlowRun", run.key.namespace, run.key.name, run.uid),
            is_warning=True,
            reason="CacheUnavailable",
            note=f"task {unit.key.task} runs without its cache, as may others of this run: {error.message or error}",
            identity="cache",
        )

    # Outcomes

    async def _settle(self, key: ObjectKey, run: LiveRun, settle: ReleaseCacheLock) -> None:
        """Turn a lock into outputs, or give it back."""
        holder = _holder(run, settle.key)
        held = self._held.get(key)
        lock = held.metadata if held is not None and held.holder == holder else None
        if lock is not None:
            self._let_go(key)
        try:
            await self._store_outcome(key, run, settle, holder, lock)
        except ApiError as error:
            # The task is over and well whatever becomes of its cache; where there is no room it was told before.
            logger.info("%s: outputs of %s could not be cached: %s", key, run.key, error)

    async def _store_outcome(
        self, key: ObjectKey, run: LiveRun, settle: ReleaseCacheLock, holder: Holder, lock: ObjectMeta | None
    ) -> None:
        labels, outputs = _labels(run, settle.key), None
        if settle.outputs is not None:
            outputs = Outputs(run.key.name, self._clock(), settle.ttl_s, settle.outputs)
        for _ in range(TRIES):
            if lock is None:
                found = await self._store.read(key)
                if found is None:
                    if outputs is not None:
                        await self._store.create(key, labels, outputs)
                    return
                content = read_entry(found, self._clock())
                if not isinstance(content, Lock) or content.holder != holder:
                    return
                lock = found.metadata
            if outputs is None:
                is_done = await self._store.remove(key, lock)
            else:
                is_done = await self._store.replace(key, lock, labels, outputs) is not None
            if is_done:
                return
            lock = None


def _holder(run: LiveRun, key: TaskInstanceKey) -> Holder:
    return Holder(run.key.name, run.uid, key)


def _labels(run: LiveRun, key: TaskInstanceKey) -> EntryLabels:
    return EntryLabels(run.flow, key.task)


def _discard(index: dict[str, set[ObjectKey]], uid: str, key: ObjectKey) -> None:
    keys = index.get(uid)
    if keys is not None:
        keys.discard(key)
        if not keys:
            del index[uid]
