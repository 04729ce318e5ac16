"""The operator with the rights that the chart gives it, and no others."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes_client

from tests.api.account import lacking_rights
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
            {"name": "child", "flow": {"name": "inner"}},
            {"name": "refused", "image": "none", "workload": "Job", "serviceAccountName": "nobody", "allowFailed": 1},
        ],
        "podRetention": {"completed": "0s"},
    },
}
INNER: dict[str, Any] = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "Flow",
    "metadata": {"name": "inner"},
    "spec": {"tasks": [{"name": "work", "image": "none"}], "concurrency": {"limit": 1}},
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
"""A run that is removed as soon as it has finished."""
LABELLED = {"matchLabels": {"listened-to": "yes"}}
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "labels": LABELLED["matchLabels"]}}


@pytest.fixture
def other_namespace(core) -> Iterator[str]:
    """A second namespace."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)


@pytest.fixture(params=["all namespaces", "one namespace", "two namespaces"])
def watched(request, namespace, other_namespace) -> list[str]:
    """What `watchNamespaces` is set to."""
    return {"all namespaces": [], "one namespace": [namespace], "two namespaces": [other_namespace, namespace]}[
        request.param
    ]


@pytest.fixture
def account(kubeconfig, namespace, watched, core, tmp_path) -> Iterator[Path]:
    """A kubeconfig of the ServiceAccount of a release, of which only the rights are used."""
    name = f"rights-{namespace.removeprefix('test-')}"
    values = {
        "fullnameOverride": name,
        "watchNamespaces": watched,
        "replicas": 0,
        "crds": {"enabled": False},
        "webhook": {"enabled": False},
        "admissionPolicy": {"operator": {"allowReleaseNamespace": True}},  # the test has one namespace for all
        "uninstall": {"releasePods": False},
        "events": {
            "kinds": [{"apiVersion": "v1", "kind": "ConfigMap", "resource": "configmaps"}],
            "webhook": {"enabled": True},
        },
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


@pytest.fixture
def operator(account, watched, namespace, kubeconfig, tmp_path) -> Iterator[Callable[[], str]]:
    """Runs an operator with these rights, in which nothing may be refused; returns what it says."""
    log = tmp_path / "operator.log"
    arguments = [
        f"--namespace={','.join(watched)}",
        f"--lease-namespace={namespace}",
        "--bind-address=127.0.0.1",
        "--http-port=0",
        "--event-port=0",
        "--event-kinds=v1/ConfigMap=configmaps",
    ]
    command = [sys.executable, "-m", "penstock_operator", *arguments]
    with (
        log.open("w") as said,
        subprocess.Popen(command, env=os.environ | {"KUBECONFIG": str(account)}, stderr=said) as process,
    ):
        try:
            yield log.read_text
        finally:
            process.terminate()
    name = f"rights-{namespace.removeprefix('test-')}"
    assert lacking_rights(kubeconfig, namespace=namespace, account=name) == set()


@pytest.fixture
def kubectl(kubeconfig, namespace) -> Callable[..., str]:
    def kubectl(*arguments: str, stdin: Any = None) -> str:
        command = [str(binaries.binary("kubectl")), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]
        piped = None if stdin is None else json.dumps(stdin)
        done = subprocess.run([*command, *arguments], input=piped, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return kubectl


def test_they_are_enough_to_take_a_run_from_start_to_end(operator, kubectl, volume):
    flow = FLOW | {"spec": FLOW["spec"] | {"workspace": {"size": "1Mi", "storageClassName": volume}}}
    for each in (INNER, flow, RUN):
        kubectl("create", "-f", "-", stdin=each)
    try:
        kubectl("wait", "--for=condition=Succeeded", "flowrun/greet", "--timeout=60s")
        labels = "--selector=penstock.dev/run=greet,penstock.dev/task=command"
        pods = kubectl("get", "pods", labels, "--output=name").split() or ["pod/gone"]
        kubectl("wait", "--for=delete", *pods, "--timeout=60s")
        made = [kubectl("create", "-f", "-", "--output=name", stdin=each).strip() for each in BRIEF]
        kubectl("wait", "--for=delete", made[-1], "--timeout=60s")
    except AssertionError as error:
        raise AssertionError(f"{error}\nThe operator says:\n{operator()}") from error


SCHEDULE: dict[str, Any] = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "Schedule",
    "metadata": {"name": "greet"},
    "spec": {
        "cron": ["@daily"],
        "events": [
            {"name": "config", "resource": {"apiVersion": "v1", "kind": "ConfigMap", "selector": LABELLED}},
            {"name": "hook", "webhook": {"secretRef": {"name": "penstock-webhook", "key": "key"}}},
        ],
        "runTemplate": {"spec": {"flowSpec": {"tasks": [{"name": "a", "image": "none"}]}}},
    },
}
BACKFILL = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "Backfill",
    "metadata": {"name": "greet"},
    "spec": {"schedule": {"name": "greet"}, "from": "2026-10-01T00:00:00Z", "to": "2026-10-03T00:00:00Z"},
}
HEADERS = {"webhook-id": "1", "webhook-signature": "v1,AAAA"}


def test_they_are_enough_for_events_and_backfills(operator, kubectl):
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "penstock-webhook"},
        "stringData": {"key": "x"},
    }
    for each in (SCHEDULE, BACKFILL, secret):
        kubectl("create", "-f", "-", stdin=each)
    try:
        kubectl("wait", "--for=condition=Listening", "schedule/greet", "--timeout=60s")
        kubectl("create", "-f", "-", stdin=CONFIG_MAP)
        kubectl("wait", "--for=condition=Succeeded", "backfill/greet", "--timeout=60s")
        kubectl("wait", "--for=create", "flowrun", "-l=penstock.dev/event=config", "--timeout=60s")
        kubectl("wait", "--for=condition=Succeeded", "flowrun", "-l=penstock.dev/event=config", "--timeout=60s")
    except AssertionError as error:
        raise AssertionError(f"{error}\nThe operator says:\n{operator()}") from error
    port = re.search(r"Serving the webhooks of Schedules on 127\.0\.0\.1:(\d+)", operator())
    assert port, operator()
    namespace = kubectl("get", "schedule", "greet", "-o=jsonpath={.metadata.namespace}")
    delivery = urllib.request.Request(
        f"http://127.0.0.1:{port[1]}/events/{namespace}/greet/hook",
        data=b"{}",
        headers=HEADERS | {"webhook-timestamp": str(int(time.time()))},
    )
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(delivery)


@pytest.mark.parametrize("watched", ["two namespaces"], indirect=True)
def test_an_operator_of_two_namespaces_runs_flows_in_both_and_in_no_other(operator, kubectl, other_namespace, watched):
    assert other_namespace in watched
    try:
        for place in watched:
            for each in (INNER, FLOW, RUN, SCHEDULE):
                kubectl("create", "-f", "-", f"--namespace={place}", stdin=each)
            kubectl("wait", "--for=condition=Listening", "schedule/greet", f"--namespace={place}", "--timeout=60s")
            kubectl("create", "-f", "-", f"--namespace={place}", stdin=CONFIG_MAP)
        elsewhere = {**RUN, "metadata": {"generateName": "elsewhere-"}, "spec": {"flow": {"name": "none"}}}
        name = kubectl("create", "-f", "-", "--namespace=default", "--output=name", stdin=elsewhere).strip()
        for place in watched:
            kubectl("wait", "--for=condition=Succeeded", "flowrun/greet", f"--namespace={place}", "--timeout=60s")
            event = ["-l=penstock.dev/event=config", f"--namespace={place}", "--timeout=60s"]
            kubectl("wait", "--for=create", "flowrun", *event)
            kubectl("wait", "--for=condition=Succeeded", "flowrun", *event)
        assert kubectl("get", name, "--namespace=default", "--output=jsonpath={.status}") == ""
        kubectl("delete", name, "--namespace=default")
    except AssertionError as error:
        raise AssertionError(f"{error}\nThe operator says:\n{operator()}") from error
