"""Finalizers of task Pods when the operator is uninstalled."""

import os
import subprocess
import sys

import pytest

from penstock.api.names import FINALIZER, LABEL_RUN_UID
from penstock_operator.uninstall import remove_finalizers, wait_until_gone

pytestmark = pytest.mark.api

FOREIGN = "example.com/keep"


def pod(name: str, *, labels: dict[str, str], finalizers: list[str]) -> dict:
    return {
        "metadata": {"name": name, "labels": labels, "finalizers": finalizers},
        # Never scheduled, so that nothing but the test touches it.
        "spec": {"schedulerName": "nobody", "containers": [{"name": "main", "image": "none"}]},
    }


@pytest.fixture
def task_pods(core, namespace):
    """Two Pods of tasks, one with somebody else's finalizer too, and one that is not ours."""
    task = {LABEL_RUN_UID: "1"}
    bodies = [
        pod("plain", labels=task, finalizers=[FINALIZER]),
        pod("shared", labels=task, finalizers=[FOREIGN, FINALIZER]),
        pod("recorded", labels=task, finalizers=[]),
        pod("stranger", labels={}, finalizers=[FOREIGN]),
    ]
    for body in bodies:
        core.create_namespaced_pod(namespace, body)
    yield
    for body in bodies:
        nothing = {"metadata": {"finalizers": None}}
        core.patch_namespaced_pod(body["metadata"]["name"], namespace, nothing)


def finalizers_of(core, namespace) -> dict[str, list[str]]:
    return {each.metadata.name: each.metadata.finalizers or [] for each in core.list_namespaced_pod(namespace).items}


@pytest.mark.usefixtures("task_pods")
def test_only_our_finalizer_goes_and_only_from_task_pods(core, namespace):
    assert remove_finalizers(core, namespace) == 2
    assert finalizers_of(core, namespace) == {"plain": [], "shared": [FOREIGN], "recorded": [], "stranger": [FOREIGN]}


@pytest.mark.usefixtures("task_pods")
def test_a_pod_that_is_being_deleted_goes(core, namespace):
    core.delete_namespaced_pod("plain", namespace, grace_period_seconds=0)
    assert "plain" in finalizers_of(core, namespace)
    remove_finalizers(core, namespace)
    assert "plain" not in finalizers_of(core, namespace)
    core.create_namespaced_pod(namespace, pod("plain", labels={}, finalizers=[]))


@pytest.mark.usefixtures("task_pods")
def test_many_pods_are_read_in_pages(core, namespace, monkeypatch):
    monkeypatch.setattr("penstock_operator.uninstall.PAGE", 1)
    assert remove_finalizers(core, namespace) == 2


def test_it_waits_for_the_operator_to_be_gone(core, namespace):
    operator = {"app": "operator"}
    core.create_namespaced_pod(namespace, pod("operator", labels=operator, finalizers=[FOREIGN]))
    core.create_namespaced_pod(namespace, pod("other", labels={}, finalizers=[]))
    assert not wait_until_gone(core, namespace, "app=operator", timeout_s=1)
    core.delete_namespaced_pod("operator", namespace, grace_period_seconds=0)
    core.patch_namespaced_pod("operator", namespace, {"metadata": {"finalizers": None}})
    assert wait_until_gone(core, namespace, "app=operator", timeout_s=30)


@pytest.mark.usefixtures("task_pods")
def test_the_command_says_what_it_did(kubeconfig, core, namespace):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "penstock_operator.uninstall",
            f"--namespace=kube-public,{namespace}",
            f"--operator-namespace={namespace}",
            "--operator-selector=app=operator",
        ],
        env=os.environ | {"KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "removed the finalizer from 2 task Pods\n"
    assert finalizers_of(core, namespace)["plain"] == []
