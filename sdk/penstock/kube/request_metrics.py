"""Where the requests to the API server are counted: in the metrics of the process that sends them."""

from __future__ import annotations

from typing import Protocol

from prometheus_client import Counter, Histogram

from penstock.kube.resources import RequestLabels


class RequestMetrics(Protocol):
    """Where requests are counted: a process' own metrics."""

    @property
    def api_requests(self) -> Counter:
        """A counter with the labels verb, resource and code."""

    @property
    def api_request_duration(self) -> Histogram:
        """A histogram of seconds with the labels verb and resource."""


class RequestCounts:
    """Counts requests.

    Finding a series by its labels costs more than counting; there are few, so they are kept.

    Args:
        metrics: where.
    """

    def __init__(self, metrics: RequestMetrics) -> None:
        self._metrics = metrics
        self._counters: dict[tuple[RequestLabels, str], Counter] = {}
        self._durations: dict[RequestLabels, Histogram] = {}

    def count(self, labels: RequestLabels, code: str, *, duration_s: float | None = None) -> None:
        """Count a request.

        Args:
            labels: what it was.
            code: the HTTP status, or `error`.
            duration_s: until the response came; None if none did.
        """
        counter = self._counters.get((labels, code))
        if counter is None:
            counter = self._counters[labels, code] = self._metrics.api_requests.labels(*labels, code)
        counter.inc()
        if duration_s is None:
            return
        histogram = self._durations.get(labels)
        if histogram is None:
            histogram = self._durations[labels] = self._metrics.api_request_duration.labels(*labels)
        histogram.observe(duration_s)
