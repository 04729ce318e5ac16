"""`penstock install` with the real Helm. The cluster's nodes are fake, so the operator has no replicas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import binaries

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(kubeconfig: Path) -> Run:
    """Runs a program as a person would who has helm on PATH."""
    folders = {binaries.binary(program).parent for program in ("helm", "kubectl")}
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])

    def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "penstock.cli.main"] if program == "penstock" else [program]
        environment = {**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig)}
        return subprocess.run([*command, *words], capture_output=True, text=True, check=False, env=environment)

    return run


@pytest.fixture
def release(run: Run, namespace: str) -> Iterator[str]:
    """A name of a release, which is uninstalled in the end. The definitions belong to nobody then, as before."""
    name = f"install-{uuid.uuid4().hex[:6]}"
    yield name
    run("helm", "uninstall", name, "--namespace", namespace, "--ignore-not-found")
    annotations = ("meta.helm.sh/release-name-", "meta.helm.sh/release-namespace-")
    run("kubectl", "annotate", "crd", "-l", f"app.kubernetes.io/instance={name}", *annotations)


@pytest.fixture
def install(run: Run, namespace: str, release: str) -> Run:
    """Installs that release without replicas."""

    def install(*words: str) -> subprocess.CompletedProcess[str]:
        return run("penstock", "install", "-n", namespace, "--release", release, "--set", "replicas=0", *words)

    return install


def values(run: Run, release: str, namespace: str) -> dict[str, object]:
    stored: dict[str, object] = json.loads(
        run("helm", "get", "values", release, "--namespace", namespace, "-o", "json").stdout
    )
    return stored


def test_it_adopts_crds_without_an_owner_and_then_runs_the_checks(install, run, release, namespace):
    done = install()
    assert f"release {release} in namespace {namespace} installed" in done.stdout
    assert "✓ CRDs        5 installed" in done.stdout
    assert f"operator    {namespace}/{release}-penstock 0.1.0, 0 of 0 replicas ready" in done.stdout
    assert done.returncode == 1, "without an operator it does not work yet"
    owner = run("kubectl", "get", "crd", "flows.penstock.dev", "-o", "jsonpath={.metadata.annotations}").stdout
    assert json.loads(owner)["meta.helm.sh/release-name"] == release


def test_an_upgrade_finds_the_release_and_keeps_what_was_set(install, run, release, namespace):
    assert install("--no-wait", "--set", "log.level=debug").returncode == 0
    upgraded = run("penstock", "install", "--no-wait", "--image", "registry.example/penstock:2")
    assert upgraded.stdout == f"release {release} in namespace {namespace} installed\n"
    image = {"repository": "registry.example/penstock", "tag": "2", "digest": ""}
    assert values(run, release, namespace) == {"replicas": 0, "log": {"level": "debug"}, "image": image}


def test_an_upgrade_upgrades_definitions(install, run):
    assert install("--no-wait").returncode == 0
    drop = '[{"op": "remove", "path": "/spec/names/shortNames"}]'
    assert run("kubectl", "patch", "crd", "flows.penstock.dev", "--type=json", "-p", drop).returncode == 0
    assert install("--no-wait").returncode == 0
    names = run("kubectl", "get", "crd", "flows.penstock.dev", "-o", "jsonpath={.spec.names.shortNames}")
    assert names.stdout == '["fl"]'


def test_values_of_a_file_and_of_words_reach_the_chart(install, run, release, namespace, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text("log: {level: warning, format: text}\n")
    assert install("--no-wait", "--values", str(file), "--set", "log.level=error").returncode == 0
    assert values(run, release, namespace)["log"] == {"level": "error", "format": "text"}


def test_a_dry_run_prints_what_would_be_applied_and_applies_nothing(install, run, release, namespace):
    done = install("--dry-run")
    assert done.returncode == 0
    assert done.stdout.count("\nkind: CustomResourceDefinition") == 5
    assert "\nkind: Deployment" in done.stdout
    assert "BEGIN" not in done.stdout, "no private key is shown"
    assert run("helm", "list", "--namespace", namespace, "--short").stdout == ""


def test_a_second_release_is_shown_which_release_owns_the_crds(install, run, release, namespace):
    assert install("--no-wait").returncode == 0
    done = run("penstock", "install", "-n", namespace, "--release", "second", "--no-wait")
    assert done.returncode == 1
    assert f"the CRDs belong to release {release} in namespace {namespace}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_value_is_one_line(install):
    done = install("--set", "nonsense=1")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("penstock: helm upgrade: ")
    assert "nonsense" in last
