"""The metrics that the operator exposes to Prometheus; docs and dashboards use these names."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

TASK_BUCKETS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
RECONCILE_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
LATENESS_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 3600, 86400)
FLUSH_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Every metric, on a registry of its own, so that several can live in one process (tests)."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.runs = Counter("penstock_runs", "Finished runs, by final state.", ["state"], registry=registry)
        self.tasks = Counter(
            "penstock_tasks",
            "Finished tasks (items, for a fan-out), by final state.",
            ["state"],
            registry=registry,
        )
        self.runs_active = Gauge("penstock_runs_active", "Runs that have not finished.", registry=registry)
        self.runs_queued = Gauge(
            "penstock_runs_queued", "Runs waiting for their Flow's concurrency limit.", registry=registry
        )
        self.tasks_running = Gauge("penstock_tasks_running", "Tasks whose container is running.", registry=registry)
        self.task_duration = Histogram(
            "penstock_task_duration_seconds",
            "Time from the start of an attempt's container to its end.",
            buckets=TASK_BUCKETS_S,
            registry=registry,
        )
        self.queue_depth = Gauge("penstock_queue_depth", "Runs waiting to be reconciled.", registry=registry)
        self.reconcile_duration = Histogram(
            "penstock_reconcile_duration_seconds",
            "Duration of one reconciliation of a run.",
            buckets=RECONCILE_BUCKETS_S,
            registry=registry,
        )
        self.api_requests = Counter(
            "penstock_api_requests",
            "Requests to the API server; code is the HTTP status, or `error` if there was no response.",
            ["verb", "resource", "code"],
            registry=registry,
        )
        self.leader = Gauge("penstock_leader", "1 in the leading replica, 0 in the others.", registry=registry)
        self.schedule_lateness = Histogram(
            "penstock_schedule_lateness_seconds",
            "Delay between the due time of a Schedule's run (tick plus jitter) and its creation.",
            buckets=LATENESS_BUCKETS_S,
            registry=registry,
        )
        self.schedule_missed = Counter(
            "penstock_schedule_missed_ticks",
            "Ticks for which no run was created, by reason.",
            ["reason"],
            registry=registry,
        )
        self.status_flush_duration = Histogram(
            "penstock_status_flush_duration_seconds",
            "Duration of writing the changed part of a run's status.",
            buckets=FLUSH_BUCKETS_S,
            registry=registry,
        )
        self.cache_lookups = Counter(
            "penstock_cache_lookups",
            "Tasks (items, for a fan-out) with a cache key, by result: hit, miss, or unavailable.",
            ["result"],
            registry=registry,
        )
        self.internal_errors = Counter(
            "penstock_internal_errors",
            "Unexpected errors in work about an object, by its kind. Other objects are not affected.",
            ["kind"],
            registry=registry,
        )
        self.parked_objects = Gauge(
            "penstock_parked_objects",
            "Objects whose last reconciliation failed unexpectedly, by kind; each is retried after a growing pause.",
            ["kind"],
            registry=registry,
        )
        self.removals = Counter(
            "penstock_removals",
            "Objects deleted by retention, by kind: run, Pod, Job, cache entry.",
            ["kind"],
            registry=registry,
        )
