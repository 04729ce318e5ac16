"""What is done to tasks by the cluster around them: each is tried again, and no retry of its own is used."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster import Cluster
from tests.cluster.process import Process, Processes
from tests.e2e.kubectl import Kubectl
from tests.e2e.manifest import FIRST_ATTEMPT_EXITS_WHEN_STOPPED, FIRST_ATTEMPT_HANGS, flow_run, task

pytestmark = pytest.mark.e2e

HANGS = f"[{{name: a, script: {FIRST_ATTEMPT_HANGS}}}]"


def test_a_pod_that_somebody_deletes_is_replaced_and_no_retry_is_used(kubectl: Kubectl):
    kubectl.apply(flow_run("bumped", HANGS))
    pod = kubectl.reach("bumped", "a", "Running")["pod"]

    kubectl.run("delete", "pod", pod, "--wait=false")
    run = kubectl.finish("bumped")

    assert run["status"]["state"] == "Completed"
    assert (task(run, "a")["attempt"], task(run, "a")["disruptions"]) == (2, 1)
    assert "failures" not in task(run, "a")
    assert task(run, "a")["attempts"][0]["reason"] == "PodDeleted"


def test_a_pod_that_waits_for_a_node_and_is_deleted_is_replaced(kubectl: Kubectl):
    kubectl.apply(
        flow_run(
            "pending",
            "[{name: a, command: ['true'], resources: {requests: {memory: 100000Gi}, limits: {memory: 100000Gi}}}]",
        )
    )
    kubectl.wait("flowrun/pending", "jsonpath={.status.tasks[0].reason}=Unschedulable")
    pod = task(kubectl.get("flowrun", "pending"), "a")["pod"]

    kubectl.run("delete", "pod", pod)
    kubectl.wait("flowrun/pending", "jsonpath={.status.tasks[0].attempt}=2")

    run = kubectl.get("flowrun", "pending")
    assert run["status"]["state"] in {"Pending", "Running"}
    assert task(run, "a")["disruptions"] == 1


def test_an_evicted_task_runs_again_and_no_retry_is_used(kubectl: Kubectl):
    kubectl.apply(flow_run("evicted", HANGS))
    pod = kubectl.reach("evicted", "a", "Running")["pod"]

    kubectl.evict(pod)
    run = kubectl.finish("evicted")

    assert run["status"]["state"] == "Completed"
    assert (task(run, "a")["attempt"], task(run, "a")["disruptions"]) == (2, 1)
    assert "failures" not in task(run, "a")
    assert task(run, "a")["attempts"][0]["reason"] == "Evicted"
    assert task(run, "a")["pod"] != pod


@pytest.mark.parametrize("workload", ["Pod", "Job"])
@pytest.mark.parametrize(("stop", "reason"), [("delete", "PodDeleted"), ("evict", "Evicted")])
def test_a_task_that_exits_with_0_when_it_is_stopped_is_not_done(
    kubectl: Kubectl, workload: str, stop: str, reason: str
):
    name = f"trap-{stop}-{workload.lower()}"
    kubectl.apply(flow_run(name, f"[{{name: a, workload: {workload}, script: {FIRST_ATTEMPT_EXITS_WHEN_STOPPED}}}]"))
    pod = kubectl.reach(name, "a", "Running")["pod"]
    with kubectl.background("logs", "--follow", pod) as lines:
        assert lines.readline() == "ready\n"

    if stop == "evict":
        kubectl.evict(pod)
    else:
        kubectl.run("delete", "pod", pod, "--wait=false")
    run = kubectl.finish(name)

    assert run["status"]["state"] == "Completed"
    assert (task(run, "a")["attempt"], task(run, "a")["disruptions"]) == (2, 1)
    assert task(run, "a")["attempts"][0]["reason"] == reason


def test_the_tasks_of_a_drained_node_wait_for_another_and_run_again(kubectl: Kubectl, admin: Kubectl):
    kubectl.apply(flow_run("drained", "".join(f"- {{name: {name}, script: {FIRST_ATTEMPT_HANGS}}}\n" for name in "ab")))
    nodes = {kubectl.reach("drained", name, "Running")["node"] for name in "ab"}

    try:
        # It returns when the Pods are gone: our finalizer must not hold it up.
        admin.run("drain", *nodes, "--pod-selector=penstock.dev/run=drained", "--timeout=60s")
        if len(admin.get_all("nodes")) == len(nodes):
            for name in "ab":
                kubectl.reach("drained", name, "Pending")
                kubectl.wait(
                    "flowrun/drained",
                    f'jsonpath={{.status.tasks[?(@.name=="{name}")].reason}}=Unschedulable',
                )
    finally:
        admin.run("uncordon", *nodes)
    run = kubectl.finish("drained")

    assert run["status"]["state"] == "Completed"
    for name in "ab":
        assert task(run, name)["attempts"][0]["reason"] == "Evicted"
        assert (task(run, name)["attempt"], task(run, name)["disruptions"]) == (2, 1)
        assert "failures" not in task(run, name)


# Attempt 1 ends, and well, while nobody can hear of it. Attempt 2 may come to the node when it is heard again and still
# has its taint: hence the seconds of toleration.
LOST = flow_run(
    "lost",
    """
    - name: a
      retry: {nodeLostAfter: 3s}
      podTemplate:
        spec:
          tolerations:
            - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 3}
      script: |
        #!/bin/sh
        if [ "$ATTEMPT" = 1 ]; then sleep 12; fi
        echo "{\\"attempt\\": $ATTEMPT}" > "$PENSTOCK_OUTPUTS"
    """,
)


def test_a_task_whose_node_stops_answering_runs_again_and_counts_once(
    kubectl: Kubectl, admin: Kubectl, penstock: str, real_cluster: Cluster
):
    kubectl.apply(LOST)
    first = kubectl.reach("lost", "a", "Running")

    with silence(real_cluster, admin, node=first["node"]):
        admin.wait(f"node/{first['node']}", "condition=Ready=Unknown")
        kubectl.wait("flowrun/lost", "jsonpath={.status.tasks[0].attempt}=2")
        assert "deletionTimestamp" in kubectl.get("pod", first["pod"])["metadata"]
    run = kubectl.finish("lost")
    kubectl.wait(f"pod/{first['pod']}", "delete")

    assert (task(run, "a")["state"], task(run, "a")["outputs"]) == ("Completed", {"attempt": 2})
    assert [entry["reason"] for entry in task(run, "a")["attempts"]] == ["NodeLost"]
    assert (task(run, "a")["attempt"], task(run, "a")["disruptions"]) == (2, 1)
    assert kubectl.get("flowrun", "lost")["status"] == run["status"]


@contextmanager
def silence(cluster: Cluster, admin: Kubectl, *, node: str) -> Iterator[None]:
    """Have a node say nothing as long as the block lasts, while its containers continue."""
    kubelet = kubelet_of(cluster)
    # Where every node is silent, Kubernetes takes itself for the one that is cut off, and evicts nothing.
    label = "node.kubernetes.io/exclude-disruption"
    admin.run("label", "node", node, f"{label}=true")
    try:
        kubelet.signal(signal.SIGSTOP)
        yield
    finally:
        kubelet.signal(signal.SIGCONT)
        admin.wait(f"node/{node}", "condition=Ready")
        admin.run("label", "node", node, f"{label}-")
        # Pods of a silent node count as not ready: the next test wants the webhook.
        admin.run("wait", "pods", "--all-namespaces", "-l", "app.kubernetes.io/name=penstock", "--for=condition=Ready",
                  "--timeout=60s")  # fmt: skip


def kubelet_of(cluster: Cluster) -> Process:
    """Return the kubelet where it is a process of this machine."""
    kubelet = Processes(cluster.state_dir).get("kubelet") if cluster.kind == "bare" else None
    if kubelet is None:
        pytest.skip(f"the kubelet of a cluster of kind {cluster.kind!r} is not a process of this machine")
    return kubelet
