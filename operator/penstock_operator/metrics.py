"""The metrics that the operator exposes to Prometheus. `docs/metrics.md` is generated from them."""

from __future__ import annotations

import operator
import platform
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from penstock import __version__

# At most ten each, the infinite one included: those of runs and tasks exist for every Flow.
RUN_BUCKETS_S = (5, 30, 120, 600, 1800, 3600, 14400, 43200)
TASK_BUCKETS_S = (1, 10, 60, 300, 900, 3600, 14400, 43200)
WAIT_BUCKETS_S = (0.1, 1, 5, 30, 120, 600, 3600, 21600, 86400)
POD_START_BUCKETS_S = (1, 2, 5, 10, 30, 60, 120, 300, 900)
HOP_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
LATENESS_BUCKETS_S = (0.05, 0.25, 1, 2.5, 5, 10, 60, 300, 3600)
RECONCILE_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)
FLUSH_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10, 30)
REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30)

FLOW_LABELS = ("namespace", "flow")

# They double the counters of a scrape, and Prometheus does not need them.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client says no type

Read = Callable[[], Iterable[tuple[tuple[str, ...], float]]]
"""Returns values by the values of their labels."""


class ScrapedGauge(Collector):
    """A gauge that is read when it is scraped, so that it can neither be wrong nor stay behind.

    Args:
        name: of the metric.
        documentation: what it means.
        labels: names of its labels.
        registry: where it is exposed.
        combine: makes one value of two that have the same labels.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Iterable[str],
        *,
        registry: CollectorRegistry,
        combine: Callable[[float, float], float] = operator.add,
    ) -> None:
        self._combine = combine
        self._name, self._documentation, self._labels = name, documentation, tuple(labels)
        self._reads: list[Read] = []
        registry.register(self)

    def add_source(self, read: Read) -> None:
        """Have values read from here too."""
        self._reads.append(read)

    def describe(self) -> Iterator[Metric]:
        """Return the family without values."""
        yield GaugeMetricFamily(self._name, self._documentation, labels=self._labels)

    def collect(self) -> Iterator[Metric]:
        """Read the values."""
        family = GaugeMetricFamily(self._name, self._documentation, labels=self._labels)
        values: dict[tuple[str, ...], float] = {}
        for read in self._reads:
            for labels, value in read():
                values[labels] = self._combine(values[labels], value) if labels in values else value
        for labels, value in values.items():
            family.add_metric(labels, value)
        yield family


class Family(NamedTuple):
    """A metric, as the documentation lists it."""

    name: str
    """As Prometheus has it."""
    kind: str
    """counter, gauge or histogram."""
    documentation: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, without the infinite one."""


class Metrics:
    """Every metric, on a registry of its own, so that several can live in one process (tests).

    Attributes:
        registry: where they are exposed, with those of the process.
        families: those of Penstock, in the order of the documentation.
    """

    def __init__(self) -> None:
        self.families: list[Family] = []
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._define_runs()
        self._define_flows()
        self._define_waits()
        self._define_schedules()
        self._define_upkeep()
        self._define_process()

    def _define_runs(self) -> None:
        self.runs = self._counter("penstock_runs", "Runs that have finished, by final state.", *FLOW_LABELS, "state")
        self.tasks = self._counter(
            "penstock_tasks",
            "Tasks (items, for a fan-out) that have finished, by final state.",
            *FLOW_LABELS,
            "state",
        )
        self.retries = self._counter(
            "penstock_retries",
            "Attempts that failed and are followed by another, by the budget that this uses: `task` is `retry.limit`, "
            "`infrastructure` is `retry.infrastructure`.",
            *FLOW_LABELS,
            "budget",
        )
        self.failed_attempts = self._counter(
            "penstock_failed_attempts",
            "Attempts of tasks that did not succeed, retried or not, by reason. A series begins with its first one.",
            "namespace",
            "reason",
        )
        self.runs_active = self._scraped(
            "penstock_runs_active", "Runs that have not finished, by state.", *FLOW_LABELS, "state"
        )
        self.runs_waiting = self._scraped(
            "penstock_runs_waiting",
            "Runs that have not finished and whose status has a reason: why they wait.",
            *FLOW_LABELS,
            "reason",
        )
        self.oldest_run = self._scraped(
            "penstock_oldest_run_seconds",
            "How long the Flow's run has been running that began first, of those that have not finished.",
            *FLOW_LABELS,
            combine=max,
        )
        self.tasks_active = self._scraped(
            "penstock_tasks_active",
            "Tasks (items, for a fan-out) that have begun and not finished, by state.",
            *FLOW_LABELS,
            "state",
        )
        self.tasks_waiting = self._scraped(
            "penstock_tasks_waiting",
            "Tasks (items, for a fan-out) that something keeps from starting, by reason.",
            *FLOW_LABELS,
            "reason",
        )

    def _define_flows(self) -> None:
        self.run_duration = self._histogram(
            "penstock_run_duration_seconds",
            "Time from the start of a run's first task to the run's end.",
            RUN_BUCKETS_S,
            *FLOW_LABELS,
        )
        self.task_duration = self._histogram(
            "penstock_task_duration_seconds",
            "Time from the start of the container of a task's last attempt to its end.",
            TASK_BUCKETS_S,
            *FLOW_LABELS,
        )
        self.flow_last_success = self._gauge(
            "penstock_flow_last_success_timestamp_seconds",
            "When a run of the Flow last completed, as Unix time; until the first time when the Flow was created.",
            *FLOW_LABELS,
        )
        self.flow_expected_success = self._gauge(
            "penstock_flow_expected_success_seconds",
            "The Flow's `expectSuccessWithin`; Flows without one have no series.",
            *FLOW_LABELS,
        )
        self.flows = self._gauge("penstock_flows", "Flows that exist.")
        self.flows_unlabelled = self._gauge(
            "penstock_flows_unlabelled",
            "Flows without series of their own, because the cap is reached: their runs count as flow `(other)`.",
        )

    def _define_waits(self) -> None:
        self.run_queue_wait = self._histogram(
            "penstock_run_queue_wait_seconds",
            "Time from a run's creation to the start of its first task.",
            WAIT_BUCKETS_S,
            "namespace",
        )
        self.task_queue_wait = self._histogram(
            "penstock_task_queue_wait_seconds",
            "Time from the moment that a task's last attempt was due to the start of its container.",
            WAIT_BUCKETS_S,
            "namespace",
        )
        self.pod_start = self._histogram(
            "penstock_pod_start_seconds",
            "Time from a Pod's creation to the start of its container, in Kubernetes' whole seconds.",
            POD_START_BUCKETS_S,
            "namespace",
        )
        self.hop = self._histogram(
            "penstock_hop_seconds",
            "Time from the news that a task has finished to the creation of the next task's Pod, as the operator sees "
            "both.",
            HOP_BUCKETS_S,
            "namespace",
        )

    def _define_schedules(self) -> None:
        self.schedule_lateness = self._histogram(
            "penstock_schedule_lateness_seconds",
            "Delay between the due time of a Schedule's run (tick plus jitter) and its creation.",
            LATENESS_BUCKETS_S,
        )
        self.schedule_missed = self._counter(
            "penstock_schedule_missed_ticks",
            "Ticks for which no run was created, by reason.",
            "namespace",
            "schedule",
            "reason",
        )
        self.schedule_next_tick = self._scraped(
            "penstock_schedule_next_tick_timestamp_seconds",
            "When the Schedule's next tick is due, as Unix time; suspended Schedules, and those without a further "
            "tick, have no series.",
            "namespace",
            "schedule",
        )

    def _define_upkeep(self) -> None:
        self.cache_lookups = self._counter(
            "penstock_cache_lookups",
            "Tasks (items, for a fan-out) with a cache key, by result: hit, miss, or unavailable.",
            "result",
        )
        self.removals = self._counter(
            "penstock_removals", "Objects deleted by retention, by kind: run, Pod, Job, cache entry.", "kind"
        )
        self.internal_errors = self._counter(
            "penstock_internal_errors",
            "Unexpected errors in work about an object, by its kind. Other objects are not affected.",
            "kind",
        )
        self.parked_objects = self._gauge(
            "penstock_parked_objects",
            "Objects whose last reconciliation failed unexpectedly, by kind; each is retried after a growing pause.",
            "kind",
        )

    def _define_process(self) -> None:
        self.api_requests = self._counter(
            "penstock_api_requests",
            "Requests to the API server; code is the HTTP status, or `error` if there was no response.",
            "verb",
            "resource",
            "code",
        )
        self.api_request_duration = self._histogram(
            "penstock_api_request_duration_seconds",
            "Time from sending a request to the API server to the head of its response.",
            REQUEST_BUCKETS_S,
            "verb",
            "resource",
        )
        self.queue_depth = self._scraped("penstock_queue_depth", "Objects waiting to be reconciled, by kind.", "kind")
        self.queue_age = self._scraped(
            "penstock_queue_oldest_seconds",
            "How long the object has waited that is in the queue for longest, by kind.",
            "kind",
            combine=max,
        )
        self.reconcile_duration = self._histogram(
            "penstock_reconcile_duration_seconds", "Duration of one reconciliation of a run.", RECONCILE_BUCKETS_S
        )
        self.status_flush_duration = self._histogram(
            "penstock_status_flush_duration_seconds",
            "Duration of writing the changed part of a run's status.",
            FLUSH_BUCKETS_S,
        )
        self.watch_silence = self._scraped(
            "penstock_watch_silent_seconds",
            "Time since the API server last sent anything on the quietest watch of a kind, bookmarks included; it "
            "sends one about every minute.",
            "resource",
        )
        self.leader = self._gauge("penstock_leader", "1 in the leading replica, 0 in the others.")
        self.build = self._gauge(
            "penstock_build_info",
            "Always 1; the labels say which version of Penstock runs on which Python.",
            "version",
            "python",
        )
        self.build.labels(__version__, platform.python_version()).set(1)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        self.families.append(Family(f"{name}_total", "counter", documentation, labels))
        return Counter(name, documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        self.families.append(Family(name, "gauge", documentation, labels))
        return Gauge(name, documentation, labels, registry=self.registry)

    def _scraped(
        self, name: str, documentation: str, *labels: str, combine: Callable[[float, float], float] = operator.add
    ) -> ScrapedGauge:
        self.families.append(Family(name, "gauge", documentation, labels))
        return ScrapedGauge(name, documentation, labels, registry=self.registry, combine=combine)

    def _histogram(self, name: str, documentation: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        self.families.append(Family(name, "histogram", documentation, labels, buckets))
        return Histogram(name, documentation, labels, buckets=buckets, registry=self.registry)
