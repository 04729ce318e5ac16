"""The keys that wait to be reconciled: each at most once, however many events there are about it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from penstock.kube.fair_slots import may_hold_more
from penstock_operator.metrics import Metrics
from penstock_operator.runtime.fair_queue import FairQueue
from penstock_operator.runtime.time_heap import TimeHeap

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """A queue of keys with a heap of later ones.

    A key carries no event: a worker reconciles the present state, so a hundred events cost one reconciliation. A key
    that is added while a worker has it is queued again after `done`, so no key is reconciled twice at the same time.
    Keys that have a namespace come in turn by namespace: one with thousands of them delays no other. And a namespace
    leaves workers to others: its keys may each take seconds, because of a webhook.

    Not thread-safe: another thread adds with `loop.call_soon_threadsafe(queue.add, key)`.

    Args:
        clock: monotonic seconds, the same time as the event loop's pace.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: FairQueue[K] = FairQueue(self._may_begin)
        self._queued: dict[K, float] = {}
        """Since when each key waits, the longest first."""
        self._working: set[K] = set()
        self._working_by_owner: Counter[Hashable] = Counter()
        self._workers: int | None = None
        self._again: set[K] = set()
        self._later: TimeHeap[K] = TimeHeap()
        self._timer: asyncio.TimerHandle | None = None

    def share_workers(self, workers: int) -> None:
        """Have each namespace leave some of so many workers to others, by `may_hold_more`."""
        self._workers = workers

    @property
    def depth(self) -> int:
        """Keys that a worker could get now."""
        return len(self._queued)

    @property
    def oldest_s(self) -> float:
        """How long the first of them has waited, seconds; 0 if there are none."""
        return self._clock() - next(iter(self._queued.values())) if self._queued else 0.0

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._later)

    def add(self, key: K) -> None:
        """Queue a key."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._queued:
            self._queued[key] = self._clock()
            self._ready.put(_owner_of(key), key)

    def add_at(self, key: K, when: float) -> None:
        """Queue a key later; of several times, the earliest counts and the others are dropped.

        So each reconciliation has to say again when the next one is due.

        Args:
            key: what to reconcile.
            when: on the queue's clock, seconds.
        """
        if when <= self._clock():
            self.add(key)
            return
        known = self._later.time_of(key)
        if known is not None and known <= when:
            return
        self._later.set(key, when)
        if self._later.first == key:
            self._arm()

    def forget_key(self, key: K) -> None:
        """Drop a key and its later time. A reconciliation that has begun continues and is not repeated."""
        self._queued.pop(key, None)
        self._again.discard(key)
        self._later.discard(key)

    async def get(self) -> K:
        """Wait for the next key; the caller calls `done` with it afterwards."""
        while True:
            key = await self._ready.get()
            # A forgotten key leaves its place in the queue behind.
            if key in self._queued:
                del self._queued[key]
                self._working.add(key)
                self._working_by_owner[_owner_of(key)] += 1
                # Another may begin as well, which could not when the last worker was woken.
                self._ready.serve_again()
                return key

    def done(self, key: K) -> None:
        """Note that the reconciliation of a key has ended, successfully or not."""
        self._working.discard(key)
        owner = _owner_of(key)
        self._working_by_owner[owner] -= 1
        if not self._working_by_owner[owner]:
            del self._working_by_owner[owner]
        self._ready.serve_again()
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _may_begin(self, owner: Hashable) -> bool:
        if self._workers is None:
            return True
        return may_hold_more(self._working_by_owner[owner], self._workers - len(self._working))

    def close(self) -> None:
        """Stop the timer: no later key is queued any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._later.clear()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        when = self._later.next_time
        if when is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, when - self._clock()), self._release)

    def _release(self) -> None:
        self._timer = None
        for key in self._later.pop_due(self._clock()):
            self.add(key)
        self._arm()


def expose_queue(metrics: Metrics, queue: WorkQueue[K], kind: str) -> None:
    """Have a queue read at each scrape."""
    metrics.queue_depth.add_source(lambda: [((kind,), queue.depth)])
    metrics.queue_age.add_source(lambda: [((kind,), queue.oldest_s)])


def _owner_of(key: Hashable) -> Hashable:
    return getattr(key, "namespace", None)
