"""A real Prometheus finds a run in what the operator's Pod says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import SYSTEM_NAMESPACE
from tests.e2e.kubectl import Kubectl
from tests.prometheus import Prometheus, scraping

SCRAPE = "prometheus.io/scrape"


def scrape_targets(admin: Kubectl) -> list[str]:
    """Return the addresses that the annotations of the operator's Pods tell a Prometheus to scrape."""
    pods = admin.in_namespace(SYSTEM_NAMESPACE).get_all("pods", selector="app.kubernetes.io/name=penstock")
    annotated = [pod for pod in pods if pod["metadata"].get("annotations", {}).get(SCRAPE) == "true"]
    return [f"{pod['status']['podIP']}:{pod['metadata']['annotations']['prometheus.io/port']}" for pod in annotated]


@pytest.fixture
def prometheus(admin: Kubectl, penstock: str, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the operator's Pods, as their annotations say.

    Their addresses are looked up here: Debian's Prometheus is built without Kubernetes' service discovery.
    """
    with scraping(scrape_targets(admin), tmp_path, port=19090) as server:
        yield server


def test_prometheus_finds_a_run(kubectl: Kubectl, prometheus: Prometheus):
    kubectl.apply("""
apiVersion: penstock.dev/v1alpha1
kind: FlowRun
metadata: {name: counted}
spec: {flowSpec: {tasks: [{name: a, image: "python:3.13-slim", command: ["true"]}]}}
""")
    kubectl.finish("counted")

    assert prometheus.settles_at_least('sum(penstock_runs_total{state="Completed"})', 1)
    assert prometheus.value("sum(penstock_leader)") == 1
    assert prometheus.value('sum(penstock_tasks_total{state="Completed"})') >= 1
