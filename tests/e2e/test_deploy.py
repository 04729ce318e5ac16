"""Python flows from a file to their outputs, and Penstock from its package to an operator: what a newcomer types."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from penstock import run_deployment
from tests.e2e.conftest import IMAGE, SYSTEM_NAMESPACE
from tests.e2e.kubectl import Kubectl

pytestmark = pytest.mark.e2e

PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]
FLOW = """
    from penstock import flow, task
    from factor import FACTOR

    @task
    def numbers(count: int) -> list[int]:
        return list(range(count))

    @task(retries=2)
    def times(x: int) -> int:
        return FACTOR * x

    @task
    def total(xs: list[int]) -> int:
        return sum(xs)

    @flow
    def etl(count: int = 3) -> int:
        return total(times.map(numbers(count)))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a flow, and a module that it imports."""
    (tmp_path / "my_flow.py").write_text(textwrap.dedent(FLOW))
    (tmp_path / "factor.py").write_text("FACTOR = 2\n")
    return tmp_path


def typed(kubectl: Kubectl, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Type `penstock ...` in a folder."""
    scope = ["-n", kubectl.namespace] if kubectl.namespace else []
    environment = {**os.environ, **kubectl.environment}
    return subprocess.run(
        [*PENSTOCK, *words, *scope], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_flow_is_deployed_and_run_without_an_image_of_its_own(kubectl, folder):
    deployed = typed(kubectl, folder, "deploy", "my_flow.py:etl", "--inline", "--wait")
    assert deployed.returncode == 0, deployed.stderr
    assert deployed.stdout.splitlines()[-1] == "flow.penstock.dev/etl is ready"
    ran = typed(kubectl, folder, "run", "etl", "-p", "count=4", "--name", "first", "--watch")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert kubectl.get("flowrun", "first")["status"]["outputs"] == {"result": 2 * (0 + 1 + 2 + 3)}
    images = {
        each["spec"]["containers"][0]["image"] for each in kubectl.get_all("pods", selector="penstock.dev/run=first")
    }
    assert images == {IMAGE}, "that of the operator"


def test_python_starts_what_was_deployed_and_gets_its_result(kubectl, folder):
    assert typed(kubectl, folder, "deploy", "my_flow.py", "--inline").returncode == 0
    run = run_deployment(
        "etl", {"count": 3}, namespace=kubectl.namespace, kubeconfig=kubectl.environment["KUBECONFIG"], timeout=180
    )
    assert run.state.result() == 6


def test_install_upgrades_what_is_there_and_finds_everything_well(admin, penstock, tmp_path):
    done = typed(admin, tmp_path, "install", "--image", IMAGE)
    assert f"release penstock in namespace {SYSTEM_NAMESPACE} installed" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("✗")] == []
    assert "✓ webhook     refuses faulty objects" in done.stdout
