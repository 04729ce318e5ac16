"""The runs that have not finished: where this package finds them, gives them facts and has them reconciled."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Hashable, Iterator
from typing import Any, Final, NamedTuple

from penstock.engine.keys import ObjectKey, RunKey, RunUid
from penstock.engine.machine.facts import Fact
from penstock.engine.machine.run.shutdown import Shutdown
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.writer import Writer
from penstock_operator.flow_metrics import FlowMetrics, FlowSeries
from penstock_operator.metrics import Metrics
from penstock_operator.runs.large_object import is_large
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runtime.background import Background
from penstock_operator.runtime.bounded import BoundedSet
from penstock_operator.runtime.workqueue import WorkQueue

logger = logging.getLogger(__name__)

KNOWN_FINISHED: Final = 10_000
"""Finished or deleted runs that are remembered, so that their many Pods cost one read of the run."""


class _LaterShutdown(NamedTuple):
    """What was decided about the end of a run that is not live yet."""

    uid: str
    shutdown: Shutdown


class RunRegistry:
    """Holds the live runs, the queue of runs to reconcile, and the work in the background.

    Args:
        writer: its background writes wait a moment after every fact.
        metrics: where errors about other objects than runs are counted.
        fail: receives an error after which this process must not continue.
        on_error: handles an unexpected error in work about a run.
        clock: seconds since the epoch.

    Attributes:
        queue: the runs to reconcile.
        background: writes and reads in progress.
        handle_error: handles an unexpected error in work about a run.
        flow_metrics: the series on which runs count.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        metrics: Metrics,
        fail: Callable[[BaseException], None],
        on_error: Callable[[LiveRun, Exception], None],
        clock: Callable[[], float],
    ) -> None:
        self.handle_error = on_error
        self._writer = writer
        self._metrics = metrics
        self.flow_metrics = FlowMetrics(metrics)
        self._clock = clock
        self.queue: WorkQueue[RunKey] = WorkQueue()
        self.background = Background(fail)
        self._by_key: dict[RunKey, LiveRun] = {}
        self._by_uid: dict[RunUid, LiveRun] = {}
        self._by_revision: dict[ObjectKey, dict[RunUid, LiveRun]] = {}
        self._announced: dict[RunKey, FlowRun] = {}
        """Runs that are not live yet, as they were read; without those that are large."""
        self._shutdowns: dict[RunKey, _LaterShutdown] = {}
        """What was decided about runs that are not live yet."""
        self._finished: BoundedSet[RunUid] = BoundedSet(KNOWN_FINISHED)

    def __len__(self) -> int:
        """How many runs are live."""
        return len(self._by_key)

    def __iter__(self) -> Iterator[LiveRun]:
        """Iterate over the live runs."""
        return iter(self._by_key.values())

    # Find

    def find_run(self, uid: RunUid) -> LiveRun | None:
        """Return the live run of a namespace and uid."""
        return self._by_uid.get(uid)

    def find_run_by_key(self, key: RunKey) -> LiveRun | None:
        """Return the live run of a name."""
        return self._by_key.get(key)

    def is_live(self, run: LiveRun) -> bool:
        """Whether a run is still the one of its name that is carried out."""
        return self._by_key.get(run.key) is run

    def find_user(self, revision: ObjectKey) -> LiveRun | None:
        """Return a run that has begun, has not finished, and needs a revision."""
        users = (run for run in self._by_revision.get(revision, {}).values() if not run.needs_recheck)
        return next((run for run in users if run.machine is not None and not run.machine.is_finished), None)

    # Counts. A machine that another thread uses is left out: what it counts may change meanwhile.

    def task_instances_in_progress(self, most: int) -> int:
        """Return how many tasks and items, and writes about them, are in progress; `most` if there are more."""
        found = self.background.in_progress
        for run in self:
            if found >= most:
                break
            if run.machine is not None and run.stepping is None:
                found += run.machine.live_task_instances
        return min(found, most)

    def revisions_in_use(self) -> set[tuple[str, str]]:
        """Return the revisions that unfinished runs need, by namespace and name."""
        return set(self._by_revision)

    def is_carried_out(self, uid: RunUid) -> bool:
        """Whether a run is live, and its end not yet reported."""
        run = self.find_run(uid)
        return run is not None and not run.is_counted

    def unstored_since(self, uid: RunUid) -> float | None:
        """Return since when a run has something to store, in monotonic seconds; None: it has nothing."""
        run = self.find_run(uid)
        return None if run is None else run.unstored_since

    # What becomes live, and what stops to be

    def announce_run(self, found: FlowRun, shutdown: Shutdown | None = None) -> None:
        """Have a run reconciled that may not be live yet.

        Args:
            found: the run as it was read.
            shutdown: what was decided about its end.
        """
        key, uid = found.key, found.uid
        if shutdown is not None and not self.end_run_by_key(key, uid, shutdown):
            self._shutdowns[key] = _LaterShutdown(uid, shutdown)
        known = self._by_key.get(key)
        if known is not None and known.uid == uid:
            if found.metadata.generation <= known.generation and not found.is_deleting:
                return
            known.is_spec_stale = True
        elif self.is_finished(RunUid(key.namespace, uid)):
            self.take_shutdown(key, uid)
            return
        elif is_large(found):
            # It is read when its turn has come.
            self._announced.pop(key, None)
        else:
            self._announced[key] = found
        self.queue.add(key)

    def take_announced(self, key: RunKey) -> FlowRun | None:
        """Remove and return a run that was announced, as it was read."""
        return self._announced.pop(key, None)

    def take_shutdown(self, key: RunKey, uid: str | None) -> Shutdown | None:
        """Remove what was decided about a run before it was live, and return it if that was about this uid.

        Args:
            key: which run.
            uid: of the run of this name; None if there is none.
        """
        later = self._shutdowns.pop(key, None)
        return later.shutdown if later is not None and later.uid == uid else None

    def add_run(self, run: LiveRun) -> None:
        """Make a run live."""
        self._by_key[run.key] = self._by_uid[run.run_uid] = run
        self.set_revision(run, run.revision)

    def set_revision(self, run: LiveRun, revision: str | None) -> None:
        """Note which revision a run needs."""
        self._forget_user(run)
        run.revision = revision
        if revision is not None and self.find_run(run.run_uid) is run:
            self._by_revision.setdefault(ObjectKey(run.key.namespace, revision), {})[run.run_uid] = run

    def _forget_user(self, run: LiveRun) -> None:
        revision = ObjectKey(run.key.namespace, run.revision or "")
        users = self._by_revision.get(revision, {})
        if users.get(run.run_uid) is run:
            del users[run.run_uid]
            if not users:
                del self._by_revision[revision]

    def remove_run(self, run: LiveRun) -> None:
        """Forget a run, unless another has taken its place."""
        self._forget_user(run)
        if self.is_live(run):
            del self._by_key[run.key]
            self.queue.forget_key(run.key)
        if self._by_uid.get(run.run_uid) is run:
            del self._by_uid[run.run_uid]

    def mark_finished(self, uid: RunUid) -> None:
        """Remember that a run has finished or was deleted."""
        self._finished.add(uid)

    def is_finished(self, uid: RunUid) -> bool:
        """Whether a run is known to have finished, or to be deleted."""
        return uid in self._finished

    # Work and its errors

    def spawn(self, run: LiveRun, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine about a run in the background."""
        return self.background.spawn(work, lambda error: self.handle_error(run, error))

    def spawn_about(self, kind: str, key: Hashable, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine about another object in the background: an unexpected error in it is counted and logged."""
        self.background.spawn(work, lambda error: self.count_error(kind, key, error))

    def count_error(self, kind: str, key: Hashable, error: Exception) -> None:
        """Count and log an unexpected error in work about an object, of which nothing else follows."""
        self._metrics.internal_errors.labels(kind).inc()
        logger.error("Internal error while working on %s %s", kind, key, exc_info=error)

    def series_of(self, run: LiveRun) -> FlowSeries:
        """Return the series on which a run counts."""
        if run.series is None:
            run.series = self.flow_metrics.find(run.key.namespace, run.flow)
        return run.series

    # What may be done with a live run

    def record_fact(self, run: LiveRun, fact: Fact) -> None:
        """Keep a fact for the run's next reconciliation, and have the run reconciled."""
        if not run.facts:
            run.first_fact_at = time.monotonic()
        run.facts.append(fact)
        self._writer.expect_writes()
        if self.is_live(run):
            self.queue.add(run.key)

    def reconcile_at(self, run: LiveRun, when: float) -> None:
        """Have a run reconciled at a time in monotonic seconds, if it is still live then."""
        if self.is_live(run):
            self.queue.add_at(run.key, when)

    def recheck_run(self, run: LiveRun) -> None:
        """Have it checked whether a run still exists."""
        run.needs_recheck = True
        self.queue.add(run.key)

    def end_run(self, run: LiveRun, shutdown: Shutdown) -> None:
        """End a run early because of something outside it: its status says what and why."""
        if run.stepping is not None:
            if run.late_shutdown is None or run.late_shutdown.mode < shutdown.mode:
                run.late_shutdown = shutdown
            run.is_due_again = True
        elif run.machine is not None:
            run.machine.shut_down(shutdown.mode, shutdown.reason, shutdown.message, self._clock())
        elif run.shutdown is None or run.shutdown.mode < shutdown.mode:
            run.shutdown = shutdown
        self.queue.add(run.key)

    def end_run_when_live(self, key: RunKey, uid: str, shutdown: Shutdown) -> None:
        """End a run of a name and uid early: now, or as soon as it is live."""
        if not self.end_run_by_key(key, uid, shutdown):
            self._shutdowns[key] = _LaterShutdown(uid, shutdown)
            self.queue.add(key)

    def end_run_by_key(self, key: RunKey, uid: str, shutdown: Shutdown) -> bool:
        """End a run of a name and uid early; false if it is not live."""
        run = self._by_key.get(key)
        if run is None or run.uid != uid:
            return False
        self.end_run(run, shutdown)
        return True
