"""A real Prometheus finds a run in what the operator's Pod says of itself."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import cluster
from tests.e2e.conftest import ROOT, SYSTEM_NAMESPACE
from tests.e2e.kubectl import Kubectl

CONFIGURATION = """
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: penstock
    kubernetes_sd_configs: [{role: pod, kubeconfig_file: "KUBECONFIG", namespaces: {names: ["NAMESPACE"]}}]
    relabel_configs:
      - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], regex: "true", action: keep}
      - {source_labels: [__meta_kubernetes_pod_container_port_name], regex: http, action: keep}
      - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
"""


@pytest.fixture
def prometheus(real_cluster: cluster.Cluster, penstock: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a Prometheus that finds the operator's Pods by their annotations."""
    binary = subprocess.run(
        [sys.executable, "-m", "tests.cluster", "prometheus"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    configuration = tmp_path / "prometheus.yaml"
    configuration.write_text(
        CONFIGURATION.replace("KUBECONFIG", str(real_cluster.kubeconfig)).replace("NAMESPACE", SYSTEM_NAMESPACE)
    )
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


def test_prometheus_finds_a_run(kubectl: Kubectl, prometheus: str):
    kubectl.apply("""
apiVersion: penstock.dev/v1alpha1
kind: FlowRun
metadata: {name: counted}
spec: {flowSpec: {tasks: [{name: a, image: "python:3.13-slim", command: ["true"]}]}}
""")
    kubectl.finish("counted")

    # A scrape a second; asking again is the only way to learn of the next.
    asked = (query(prometheus, 'sum(penstock_runs_total{state="Completed"})') for _ in range(2000))

    assert any(value >= 1 for value in asked)
    assert query(prometheus, "sum(penstock_leader)") == 1
    assert query(prometheus, 'sum(penstock_tasks_total{state="Completed"})') >= 1
