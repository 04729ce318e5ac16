"""The operator with the rights that the chart gives it, and no others."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes_client

from tests.cluster import binaries

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

CHART = Path(__file__).parents[2] / "helm" / "penstock"
FLOW: dict[str, Any] = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "Flow",
    "metadata": {"name": "greet"},
    "spec": {
        "tasks": [
            {"name": "command", "image": "none", "command": ["true"], "cache": {"key": "same"}},
            {"name": "script", "image": "none", "script": "true", "dependsOn": ["command"]},
            {"name": "job", "image": "none", "command": ["true"], "workload": "Job"},
            {"name": "refused", "image": "none", "workload": "Job", "serviceAccountName": "nobody", "allowFailed": 1},
        ],
        "podRetention": {"completed": "0s"},
    },
}
RUN = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "FlowRun",
    "metadata": {"name": "greet"},
    "spec": {"flow": {"name": "greet"}},
}
BRIEF = [
    {
        **FLOW,
        "metadata": {"name": "brief"},
        "spec": {"tasks": [{"name": "command", "image": "none"}], "retention": {"completed": "0s"}},
    },
    {**RUN, "metadata": {"generateName": "brief-"}, "spec": {"flow": {"name": "brief"}}},
]
"""A run that is removed as soon as it is over."""
REFUSED = re.compile(r'penstock_api_requests_total\{code="40[13]",resource="([^"]+)",verb="([^"]+)"\} [1-9]')


@pytest.fixture(params=["all namespaces", "one namespace"])
def watched(request, namespace) -> str:
    """What `watchNamespace` is set to."""
    return namespace if request.param == "one namespace" else ""


@pytest.fixture
def account(kubeconfig, namespace, watched, core, tmp_path) -> Iterator[Path]:
    """A kubeconfig of the ServiceAccount of a release, of which only the rights are used."""
    name = f"rights-{namespace.removeprefix('test-')}"
    values = {
        "fullnameOverride": name,
        "watchNamespace": watched,
        "replicas": 0,
        "crds": {"enabled": False},
        "webhook": {"enabled": False},
        "uninstall": {"releasePods": False},
    }
    helm = [str(binaries.binary("helm")), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]
    subprocess.run([*helm, "install", name, str(CHART), "--values=-"], input=json.dumps(values), text=True, check=True)
    token = core.create_namespaced_service_account_token(
        name,
        namespace,
        kubernetes_client.AuthenticationV1TokenRequest(spec=kubernetes_client.V1TokenRequestSpec(audiences=[])),
    )
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"] = [{"name": "operator", "user": {"token": token.status.token}}]
    for context in config["contexts"]:
        context["context"]["user"] = "operator"
    path = tmp_path / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield path
    subprocess.run([*helm, "uninstall", name], check=True)


def of_command(kubectl: list[str]) -> list[str]:
    """Return the Pods of the task `command`; a name that nobody has if they are gone."""
    labels = "--selector=penstock.dev/run=greet,penstock.dev/task=command"
    pods = subprocess.run([*kubectl, "get", "pods", labels, "-o", "name"], capture_output=True, text=True, check=True)
    return pods.stdout.split() or ["pod/gone"]


def test_they_are_enough_to_take_a_run_from_start_to_end(account, watched, namespace, kubeconfig, tmp_path, volume):
    log = tmp_path / "operator.log"
    arguments = [
        f"--namespace={watched}",
        f"--lease-namespace={namespace}",
        "--bind-address=127.0.0.1",
        "--http-port=0",
    ]
    kubectl = [str(binaries.binary("kubectl")), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]
    with (
        log.open("w") as said,
        subprocess.Popen(
            [sys.executable, "-m", "penstock_operator", *arguments], env={"KUBECONFIG": str(account)}, stderr=said
        ) as operator,
    ):
        try:
            flow = FLOW | {"spec": FLOW["spec"] | {"workspace": {"size": "1Mi", "storageClassName": volume}}}
            subprocess.run([*kubectl, "create", "-f", "-"], input=json.dumps(flow), text=True, check=True)
            subprocess.run([*kubectl, "create", "-f", "-"], input=json.dumps(RUN), text=True, check=True)
            over = subprocess.run(
                [*kubectl, "wait", "--for=condition=Succeeded", "flowrun/greet", "--timeout=60s"],
                capture_output=True,
                text=True,
                check=False,
            )
            assert over.returncode == 0, f"{over.stderr}\nThe operator says:\n{log.read_text()}"
            subprocess.run([*kubectl, "wait", "--for=delete", *of_command(kubectl), "--timeout=60s"], check=True)
            create = [*kubectl, "create", "-f", "-", "-o", "name"]
            for body in BRIEF:
                made = subprocess.run(create, input=json.dumps(body), capture_output=True, text=True, check=True)
            subprocess.run([*kubectl, "wait", "--for=delete", made.stdout.strip(), "--timeout=60s"], check=True)
            port = re.search(r"serves 127\.0\.0\.1:(\d+)", log.read_text())
            assert port, log.read_text()
            with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/metrics") as reply:
                assert REFUSED.findall(reply.read().decode()) == []
        finally:
            operator.terminate()
    # What kopf asks for is not in our metrics; it complains in the log.
    assert "orbidden" not in log.read_text()
