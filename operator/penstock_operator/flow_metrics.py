"""What is counted of each Flow: its series exist from its creation and vanish with it.

Every series is bound once, so that what happens a thousand times a second looks nothing up.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from penstock.engine.keys import ObjectKey
from penstock.engine.machine.effects.effects import Conclusion, FailedAttempt
from penstock.engine.state import FINAL_RUN_STATES, FINAL_TASK_STATES
from penstock_operator.metrics import Metrics

MAX_FLOWS: Final = 500
"""Flows with series of their own: each has about forty."""
INLINE: Final = ""
"""The label `flow` of runs with an inline spec; to Prometheus, an empty label is none."""
OTHER: Final = ObjectKey("", "(other)")
"""What the Flows beyond the cap count as."""
BUDGET_TASK: Final = "task"
BUDGET_INFRASTRUCTURE: Final = "infrastructure"


class NamespaceSeries:
    """The series of a namespace."""

    def __init__(self, metrics: Metrics, namespace: str) -> None:
        self.namespace = namespace
        self.run_queue_wait: Histogram = metrics.run_queue_wait.labels(namespace)
        self.task_queue_wait: Histogram = metrics.task_queue_wait.labels(namespace)
        self.pod_start: Histogram = metrics.pod_start.labels(namespace)
        self.hop: Histogram = metrics.hop.labels(namespace)
        self._failed_attempts = metrics.failed_attempts
        self._failures: dict[str, Counter] = {}
        self._is_removed = False
        self._metrics = metrics

    def count_failed_attempt(self, reason: str) -> None:
        """Count an attempt that did not succeed."""
        if self._is_removed:
            # A run may outlive the last Flow of its namespace.
            return
        counter = self._failures.get(reason)
        if counter is None:
            counter = self._failures[reason] = self._failed_attempts.labels(self.namespace, reason)
        counter.inc()

    def remove(self) -> None:
        """Expose them no more."""
        metrics, self._is_removed = self._metrics, True
        for histogram in (metrics.run_queue_wait, metrics.task_queue_wait, metrics.pod_start, metrics.hop):
            histogram.remove(self.namespace)
        for reason in self._failures:
            self._failed_attempts.remove(self.namespace, reason)


class FlowSeries:
    """The series of a Flow. A run counts on those that it found at its start, exposed or not.

    Attributes:
        labels: namespace and name of the Flow, as the series have them.
        of_namespace: those of its namespace.
    """

    def __init__(self, metrics: Metrics, labels: ObjectKey, of_namespace: NamespaceSeries) -> None:
        self.labels = labels
        self.of_namespace = of_namespace
        self._metrics = metrics
        self._runs: dict[str, Counter] = {state: metrics.runs.labels(*labels, state) for state in FINAL_RUN_STATES}
        self._tasks: dict[str, Counter] = {state: metrics.tasks.labels(*labels, state) for state in FINAL_TASK_STATES}
        self._task_retries: Counter = metrics.retries.labels(*labels, BUDGET_TASK)
        self._infrastructure_retries: Counter = metrics.retries.labels(*labels, BUDGET_INFRASTRUCTURE)
        self._run_duration: Histogram = metrics.run_duration.labels(*labels)
        self._task_duration: Histogram = metrics.task_duration.labels(*labels)

    def count_task(self, conclusion: Conclusion) -> None:
        """Count a task that has finished."""
        self._tasks[conclusion.state].inc()
        if conclusion.started_at is None:
            return
        self._task_duration.observe(conclusion.duration_s)
        if conclusion.queued_at is not None:
            self.of_namespace.task_queue_wait.observe(max(conclusion.started_at - conclusion.queued_at, 0.0))
        if conclusion.created_at is not None:
            self.of_namespace.pod_start.observe(max(conclusion.started_at - conclusion.created_at, 0.0))

    def count_failed_attempt(self, failed: FailedAttempt) -> None:
        """Count an attempt that did not succeed, and the retry that follows."""
        self.of_namespace.count_failed_attempt(failed.reason)
        if failed.is_retried:
            (self._infrastructure_retries if failed.is_disruption else self._task_retries).inc()

    def count_run(self, state: str, *, created_at: float, started_at: float | None, finished_at: float) -> None:
        """Count a run that has finished.

        Args:
            state: its final state.
            created_at: when it was created, seconds since the epoch.
            started_at: when its first task started; None if none did.
            finished_at: when it finished.
        """
        self._runs[state].inc()
        if started_at is not None:
            self._run_duration.observe(max(finished_at - started_at, 0.0))
            self.of_namespace.run_queue_wait.observe(max(started_at - created_at, 0.0))

    def remove(self) -> None:
        """Expose them no more."""
        metrics, labels = self._metrics, self.labels
        for state in self._runs:
            metrics.runs.remove(*labels, state)
        for state in self._tasks:
            metrics.tasks.remove(*labels, state)
        for budget in (BUDGET_TASK, BUDGET_INFRASTRUCTURE):
            metrics.retries.remove(*labels, budget)
        metrics.run_duration.remove(*labels)
        metrics.task_duration.remove(*labels)


class _KnownFlow:
    """What is exposed of a Flow that exists, besides its series."""

    def __init__(self, last_success: Gauge) -> None:
        self.last_success = last_success
        self.has_expectation = False


class FlowMetrics:
    """The series of all Flows.

    Args:
        metrics: where they are exposed.
        most: Flows with series of their own; what is beyond counts together.
    """

    def __init__(self, metrics: Metrics, *, most: int = MAX_FLOWS) -> None:
        self._metrics = metrics
        self._most = most
        self._series: dict[ObjectKey, FlowSeries] = {}
        self._namespaces: dict[str, NamespaceSeries] = {}
        self._known: dict[ObjectKey, _KnownFlow | None] = {}
        """The Flows that exist; None for one beyond the cap."""
        self._unlabelled = 0
        """Flows beyond the cap."""

    def find(self, namespace: str, flow: str | None) -> FlowSeries:
        """Return the series on which a run counts.

        Args:
            namespace: of the run.
            flow: name of its Flow; None for an inline spec.
        """
        key = ObjectKey(namespace, INLINE if flow is None else flow)
        found = self._series.get(key)
        if found is None:
            found = self._add_series(key if self._may_add(key) else OTHER)
        return found

    def labels_of(self, namespace: str, flow: str | None) -> ObjectKey:
        """Return the labels of a run, as in `find`, without exposing anything."""
        key = ObjectKey(namespace, INLINE if flow is None else flow)
        return key if key in self._series or self._has_place() else OTHER

    def add_flow(self, key: ObjectKey, *, succeeded_at: float, expect_within_s: float | None) -> None:
        """Expose a Flow that exists, or what has changed of it.

        Args:
            key: which.
            succeeded_at: when a run of it last completed, or when it was created; seconds since the epoch.
            expect_within_s: how often it is to succeed; None: nothing is expected.
        """
        metrics, known = self._metrics, self._known.get(key)
        if known is None:
            # One beyond the cap may have got a place since.
            is_labelled = self.find(*key).labels == key
            self._set_known(key, _KnownFlow(metrics.flow_last_success.labels(*key)) if is_labelled else None)
            known = self._known[key]
        if known is None:
            return
        known.last_success.set(succeeded_at)
        if expect_within_s is not None:
            metrics.flow_expected_success.labels(*key).set(expect_within_s)
        elif known.has_expectation:
            metrics.flow_expected_success.remove(*key)
        known.has_expectation = expect_within_s is not None

    def remove_flow(self, key: ObjectKey) -> None:
        """Expose a deleted Flow no more."""
        if key in self._known and self._known[key] is None:
            self._unlabelled -= 1
        known = self._known.pop(key, None)
        self._count_flows()
        if known is not None:
            self._metrics.flow_last_success.remove(*key)
            if known.has_expectation:
                self._metrics.flow_expected_success.remove(*key)
        self._remove_series(key)
        # Runs with an inline spec have no Flow that could say when they have finished.
        if not any(each.namespace == key.namespace for each in self._known):
            self._remove_series(ObjectKey(key.namespace, INLINE))

    def _set_known(self, key: ObjectKey, known: _KnownFlow | None) -> None:
        was_unlabelled = key in self._known and self._known[key] is None
        self._unlabelled += (known is None) - was_unlabelled
        self._known[key] = known
        self._count_flows()

    def _has_place(self) -> bool:
        """Whether fewer series are exposed than may be; those of all others together do not count."""
        return len(self._series) - (OTHER in self._series) < self._most

    def _may_add(self, key: ObjectKey) -> bool:
        if self._has_place():
            return True
        # What no Flow stands for gives its place to a Flow.
        unneeded = next((each for each in self._series if each not in self._known and each != OTHER), None)
        if unneeded is None or key.name == INLINE:
            return False
        self._remove_series(unneeded)
        return True

    def _add_series(self, key: ObjectKey) -> FlowSeries:
        found = self._series.get(key)
        if found is None:
            of_namespace = self._namespaces.get(key.namespace)
            if of_namespace is None:
                of_namespace = self._namespaces[key.namespace] = NamespaceSeries(self._metrics, key.namespace)
            found = self._series[key] = FlowSeries(self._metrics, key, of_namespace)
        return found

    def _remove_series(self, key: ObjectKey) -> None:
        series = self._series.pop(key, None)
        if series is None:
            return
        series.remove()
        if not any(each.namespace == key.namespace for each in self._series):
            self._namespaces.pop(key.namespace).remove()

    def _count_flows(self) -> None:
        self._metrics.flows.set(len(self._known))
        self._metrics.flows_unlabelled.set(self._unlabelled)
