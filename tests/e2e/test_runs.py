"""Runs of real Pods from their beginning to their end: Flows come and go, quotas hold back, operators die."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import SYSTEM_NAMESPACE
from tests.e2e.kubectl import Kubectl
from tests.e2e.manifest import IMAGE, UNTIL_RELEASED, flow, flow_run, run_of, task

pytestmark = pytest.mark.e2e


def test_deleting_a_run_stops_its_pods(kubectl: Kubectl):
    kubectl.apply(flow_run("doomed", "[{name: a, forEach: {count: 3}, command: [sleep, '600']}]"))
    kubectl.wait("flowrun/doomed", "jsonpath={.status.state}=Running")

    kubectl.run("delete", "flowrun", "doomed")

    kubectl.run("wait", "pods", "-l", "penstock.dev/run=doomed", "--for=delete", "--timeout=60s")


def test_a_flow_edited_during_a_run_does_not_change_the_run(kubectl: Kubectl):
    edited = flow(
        "edited",
        """
        - {name: a, command: [sleep, "3"]}
        - {name: b, dependsOn: [a], script: "echo '{\\"says\\": \\"WORD\\"}' > $PENSTOCK_OUTPUTS"}
        """,
    )
    kubectl.apply(edited.replace("WORD", "old"))
    kubectl.apply(run_of("edited", "edited"))
    kubectl.wait("flowrun/edited", "jsonpath={.status.state}=Running")

    kubectl.run("delete", "flow", "edited")
    kubectl.apply(edited.replace("WORD", "new"))
    run = kubectl.finish("edited")

    assert task(run, "b")["outputs"] == {"says": "old"}


def test_a_run_waits_for_its_flow(kubectl: Kubectl):
    kubectl.apply(run_of("late", "early"))
    kubectl.wait("flowrun/early", "jsonpath={.status.reason}=FlowNotFound")

    kubectl.apply(flow("late", "[{name: a, command: ['true']}]"))

    assert kubectl.finish("early")["status"]["state"] == "Completed"


def test_a_quota_of_pods_holds_tasks_back_and_fails_none(kubectl: Kubectl):
    kubectl.run("create", "quota", "few", "--hard=pods=1")
    kubectl.apply(flow_run("tight", "[{name: a, forEach: {count: 3}, command: [sleep, '1']}]"))

    run = kubectl.finish("tight")

    assert run["status"]["state"] == "Completed"
    assert task(run, "a")["items"]["indexes"] == {"Completed": "0-2"}
    assert "failed" not in task(run, "a")["items"]


def test_tasks_beyond_a_memory_quota_wait_and_run_when_it_is_removed(kubectl: Kubectl):
    kubectl.run("create", "quota", "small", "--hard=requests.memory=16Mi")
    tasks = "".join(
        f"- {{name: {name}, command: ['true'], resources: {{requests: {{memory: 32Mi}}}}}}\n" for name in "ab"
    )
    kubectl.apply(flow_run("heavy", tasks))
    held = [kubectl.reach("heavy", name, "Queued") for name in "ab"]

    kubectl.run("delete", "quota", "small")
    run = kubectl.finish("heavy")

    assert {entry["reason"] for entry in held} == {"QuotaExceeded"}
    assert all("exceeded quota" in entry["message"] or "quota is full" in entry["message"] for entry in held)
    assert [(task(run, name)["state"], task(run, name)["attempt"]) for name in "ab"] == [("Completed", 1)] * 2


def test_a_killed_operator_is_replaced_and_every_task_runs_once(kubectl: Kubectl, admin: Kubectl):
    kubectl.apply(
        flow_run(
            "survivor",
            """
            - {name: a, forEach: {count: 6}, maxParallel: 3, command: [sleep, "2"]}
            - {name: sign-off, approval: {message: "Continue?"}}
            - {name: b, dependsOn: [a, sign-off], command: ["true"]}
            """,
            **{"finally": [{"name": "cleanup", "image": IMAGE, "script": json.loads(UNTIL_RELEASED)}]},
        )
    )
    kubectl.reach("survivor", "a", "Running")
    kubectl.reach("survivor", "sign-off", "Paused")

    kill_operator(leading_pod(admin))
    # Said while nobody leads.
    kubectl.approve("survivor", "sign-off")
    cleanup = kubectl.reach("survivor", "cleanup", "Running")["pod"]
    kill_operator(leading_pod(admin))
    kubectl.release(cleanup)
    run = kubectl.finish("survivor")

    assert run["status"]["state"] == "Completed"
    assert [entry["state"] for entry in run["status"]["tasks"]] == ["Completed"] * 4
    pods = kubectl.get_all("pods", selector="penstock.dev/run=survivor")
    assert len(pods) == 8
    assert {pod["metadata"]["labels"]["penstock.dev/attempt"] for pod in pods} == {"1"}
    kubectl.run("delete", "flowrun", "survivor")
    kubectl.run("wait", "pods", "-l", "penstock.dev/run=survivor", "--for=delete", "--timeout=30s")


def test_a_namespace_deleted_in_the_middle_of_a_run_ends(kubectl: Kubectl, admin: Kubectl):
    kubectl.apply(flow_run("swept", "[{name: a, forEach: {count: 10}, maxParallel: 3, command: [sleep, '20']}]"))
    kubectl.wait("flowrun/swept", "jsonpath={.status.state}=Running")

    admin.run("delete", "namespace", kubectl.namespace, "--timeout=150s")

    assert "not found" in admin.refused("get", "namespace", kubectl.namespace).message


def leading_pod(admin: Kubectl) -> dict[str, Any]:
    """Return the Pod of the operator that leads."""
    holder = admin.in_namespace(SYSTEM_NAMESPACE).get("lease", "penstock-operator")["spec"]["holderIdentity"]
    return admin.in_namespace(SYSTEM_NAMESPACE).get("pod", holder)


def kill_operator(pod: dict[str, Any]) -> None:
    """Send SIGKILL to the operator's process: it can't be done from inside, where it is process 1."""
    uid = pod["metadata"]["uid"]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            groups = (process / "cgroup").read_text()
            command = (process / "cmdline").read_text()
        except OSError:
            continue
        if (uid in groups or uid.replace("-", "_") in groups) and "penstock_operator" in command:
            os.kill(int(process.name), signal.SIGKILL)
            return
    pytest.fail(f"the process of Pod {pod['metadata']['name']} is not on this machine")
