"""What the metrics say of the live runs: read from them at each scrape, and counted when a run has finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from penstock.engine.keys import ObjectKey
from penstock.engine.machine.machine import Machine
from penstock.engine.state import RunState
from penstock.engine.timestamp import epoch
from penstock.errors import StoredStatusError
from penstock_operator.metrics import Metrics
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runtime.workqueue import expose_queue

Sample = tuple[tuple[str, ...], float]


def expose_live_runs(metrics: Metrics, registry: RunRegistry, clock: Callable[[], float]) -> None:
    """Have the live runs, their tasks and their queue read at each scrape.

    Args:
        metrics: where they are exposed.
        registry: the live runs.
        clock: seconds since the epoch.
    """
    live = _LiveRuns(registry, clock)
    metrics.runs_active.add_source(live.runs_by_state)
    metrics.runs_waiting.add_source(live.runs_by_reason)
    metrics.oldest_run.add_source(live.ages_of_runs)
    metrics.tasks_active.add_source(live.tasks_by_state)
    metrics.tasks_waiting.add_source(live.tasks_by_reason)
    expose_queue(metrics, registry.queue, "FlowRun")


class _LiveRuns:
    """Reads the runs whose end is not stored."""

    def __init__(self, registry: RunRegistry, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._clock = clock

    def _unfinished(self) -> Iterator[tuple[ObjectKey, LiveRun]]:
        labels_of = self._registry.flow_metrics.labels_of
        return ((labels_of(run.key.namespace, run.flow), run) for run in self._registry if not run.is_counted)

    def _machines(self) -> Iterator[tuple[ObjectKey, Machine]]:
        return ((labels, run.machine) for labels, run in self._unfinished() if run.machine is not None)

    def runs_by_state(self) -> Iterator[Sample]:
        return (((*labels, run.head.get("state", RunState.PENDING)), 1) for labels, run in self._unfinished())

    def runs_by_reason(self) -> Iterator[Sample]:
        return (((*labels, run.head["reason"]), 1) for labels, run in self._unfinished() if run.head.get("reason"))

    def ages_of_runs(self) -> Iterator[Sample]:
        now = self._clock()
        for labels, run in self._unfinished():
            if (started := run.head.get("startTime")) is None:
                continue
            with suppress(StoredStatusError):
                # Another client may have written another; one run must not cost all metrics.
                yield labels, now - epoch(started)

    def tasks_by_state(self) -> Iterator[Sample]:
        for labels, machine in self._machines():
            yield from (((*labels, state), count) for state, count in machine.live_counts.items())

    def tasks_by_reason(self) -> Iterator[Sample]:
        for labels, machine in self._machines():
            yield from (((*labels, reason), count) for reason, count in machine.obstacle_counts.items())


def count_end(registry: RunRegistry, run: LiveRun, state: str) -> None:
    """Count a run whose end is stored."""
    started, finished = run.head.get("startTime"), run.head["completionTime"]
    registry.series_of(run).count_run(
        state,
        created_at=run.created_at,
        started_at=None if started is None else epoch(started),
        finished_at=epoch(finished),
    )
