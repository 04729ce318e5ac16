"""Python flows from a file to their outputs, and Penstock from its package to an operator: what a newcomer types."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from penstock import run_deployment
from tests import cluster
from tests.e2e.conftest import IMAGE, STORE_PORT, SYSTEM_NAMESPACE, serve_from_pod
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
WITH_SECRET = {"spec": {"containers": [{"name": "main", "envFrom": [{"secretRef": {"name": "object-store"}}]}]}}
GIT_IMAGE = "penstock-with-git:e2e"
GIT_PORT = 9418
WITH_GIT = f"""
FROM {IMAGE}
USER root
RUN apt-get update -qq && apt-get install -qq --no-install-recommends git
COPY --chown=65532:65532 shop.git /srv/shop.git
USER 65532:65532
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a flow, and a module that it imports."""
    (tmp_path / "my_flow.py").write_text(textwrap.dedent(FLOW))
    (tmp_path / "factor.py").write_text("FACTOR = 2\n")
    return tmp_path


def git(folder: Path, *words: str) -> None:
    """Do something with a Git repository."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True)


def typed(
    kubectl: Kubectl, folder: Path, *words: str, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Type `penstock ...` in a folder, with more environment."""
    scope = ["-n", kubectl.namespace] if kubectl.namespace else []
    environment = {**os.environ, **kubectl.environment, **(more or {})}
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


def test_pods_fetch_the_code_from_an_object_store(kubectl, folder, object_store):
    file = folder / "my_flow.py"
    file.write_text(file.read_text().replace("@flow", f"@flow(pod_template={WITH_SECRET})"))
    with kubectl.background("port-forward", "service/object-store", f":{STORE_PORT}") as printed:
        endpoint = re.search(r"127\.0\.0\.1:\d+", printed.readline())
        assert endpoint is not None
        environment = {**object_store.credentials, "AWS_ENDPOINT_URL": f"http://{endpoint[0]}"}
        source = ["--source", object_store.url]
        deployed = typed(kubectl, folder, "deploy", "my_flow.py:etl", *source, "--wait", more=environment)
    assert deployed.returncode == 0, deployed.stderr
    ran = typed(kubectl, folder, "run", "etl", "-p", "count=4", "--name", "first", "--watch")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert kubectl.get("flowrun", "first")["status"]["outputs"] == {"result": 2 * (0 + 1 + 2 + 3)}
    assert kubectl.get_all("configmaps", selector="penstock.dev/code-of") == []


def test_pods_fetch_the_code_from_a_git_server(real_cluster, kubectl, folder):
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=Double")
    git(folder, "clone", "--quiet", "--bare", ".", "served/shop.git")
    (folder / "served" / "Dockerfile").write_text(WITH_GIT)
    cluster.build_image(GIT_IMAGE, context=folder / "served")
    cluster.load_image(real_cluster, GIT_IMAGE)
    serve = ["git", "daemon", "--reuseaddr", "--export-all", "--base-path=/srv", f"--port={GIT_PORT}"]
    address = serve_from_pod(kubectl, "code", GIT_PORT, {"image": GIT_IMAGE, "command": serve})
    url = f"git://{address}:{GIT_PORT}/shop.git"
    # From where the cluster's addresses can't be reached, git takes the repository that the image was made from.
    here = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{folder}/served/shop.git.insteadOf",
        "GIT_CONFIG_VALUE_0": url,
    }
    source = ["--source", f"git+{url}@main", "--image", GIT_IMAGE]
    deployed = typed(kubectl, folder, "deploy", "my_flow.py:etl", *source, "--wait", more=here)
    assert deployed.returncode == 0, deployed.stderr
    ran = typed(kubectl, folder, "run", "etl", "-p", "count=4", "--name", "first", "--watch")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert kubectl.get("flowrun", "first")["status"]["outputs"] == {"result": 2 * (0 + 1 + 2 + 3)}


def test_install_upgrades_what_is_there_and_finds_everything_well(admin, penstock, tmp_path):
    done = typed(admin, tmp_path, "install", "--image", IMAGE)
    assert f"release penstock in namespace {SYSTEM_NAMESPACE} installed" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("✗")] == []
    assert "✓ webhook     rejects invalid objects" in done.stdout
