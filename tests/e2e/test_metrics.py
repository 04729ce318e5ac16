"""A real Prometheus finds a run in what the operator's Pod says of itself."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, SYSTEM_NAMESPACE
from tests.e2e.kubectl import Kubectl

SCRAPE = "prometheus.io/scrape"
SCRAPED_WITHIN_S = 60


def scrape_targets(admin: Kubectl) -> list[str]:
    """Return the addresses that the annotations of the operator's Pods tell a Prometheus to scrape."""
    pods = admin.in_namespace(SYSTEM_NAMESPACE).get_all("pods", selector="app.kubernetes.io/name=penstock")
    annotated = [pod for pod in pods if pod["metadata"].get("annotations", {}).get(SCRAPE) == "true"]
    return [f"{pod['status']['podIP']}:{pod['metadata']['annotations']['prometheus.io/port']}" for pod in annotated]


@pytest.fixture
def prometheus(admin: Kubectl, penstock: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a Prometheus that scrapes the operator's Pods, as their annotations say.

    Their addresses are looked up here: Debian's Prometheus is built without Kubernetes' service discovery.
    """
    binary = subprocess.run(
        [sys.executable, "-m", "tests.cluster", "prometheus"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    configuration = tmp_path / "prometheus.yaml"
    scrape = {"job_name": "penstock", "static_configs": [{"targets": scrape_targets(admin)}]}
    configuration.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}))
    address = "127.0.0.1:19090"
    with subprocess.Popen(
        [
            binary,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address={address}",
        ],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            if not any("Server is ready" in line for line in process.stderr):
                pytest.fail("Prometheus did not start")
            yield f"http://{address}"
        finally:
            process.terminate()


def query(prometheus: str, expression: str) -> float:
    """Return the value of an expression; 0 if it has none."""
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(url, timeout=10) as reply:
        result = json.load(reply)["data"]["result"]
    return float(result[0]["value"][1]) if result else 0.0


def settles_at_least(prometheus: str, expression: str, wanted: float) -> bool:
    """Ask until the value is there or the time is over: Prometheus tells nobody when it has scraped."""
    deadline = time.monotonic() + SCRAPED_WITHIN_S
    while time.monotonic() < deadline:
        if query(prometheus, expression) >= wanted:
            return True
    return False


def test_prometheus_finds_a_run(kubectl: Kubectl, prometheus: str):
    kubectl.apply("""
apiVersion: penstock.dev/v1alpha1
kind: FlowRun
metadata: {name: counted}
spec: {flowSpec: {tasks: [{name: a, image: "python:3.13-slim", command: ["true"]}]}}
""")
    kubectl.finish("counted")

    assert settles_at_least(prometheus, 'sum(penstock_runs_total{state="Completed"})', 1)
    assert query(prometheus, "sum(penstock_leader)") == 1
    assert query(prometheus, 'sum(penstock_tasks_total{state="Completed"})') >= 1
