"""What carries attempts beside a bare Pod: Jobs, a volume that tasks share, child runs; and how long Pods are kept."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Volume
from tests.e2e.kubectl import Kubectl
from tests.e2e.manifest import FIRST_ATTEMPT_HANGS, IMAGE, flow, flow_run, task

pytestmark = pytest.mark.e2e


def selector(run: str, task_name: str) -> str:
    return f"penstock.dev/run={run},penstock.dev/task={task_name}"


# Jobs


def test_a_job_carries_a_task_and_its_retries(kubectl: Kubectl):
    kubectl.apply(
        flow_run(
            "jobs",
            """
            - name: load
              workload: Job
              retry: {limit: 1}
              script: |
                #!/bin/sh
                if [ "$ATTEMPT" = 1 ]; then echo no luck; exit 3; fi
                echo '{"rows": 3}' > "$PENSTOCK_OUTPUTS"
            - {name: report, args: ["$(tasks.load.outputs.rows)"], script: 'test "$1" = 3'}
            """,
        )
    )

    run = kubectl.finish("jobs")

    assert run["status"]["state"] == "Completed"
    load = task(run, "load")
    assert (load["attempt"], load["failures"], load["outputs"]) == (2, 1, {"rows": 3})
    assert (load["attempts"][0]["exitCode"], "no luck" in load["attempts"][0]["message"]) == (3, True)
    jobs = kubectl.get_all("jobs", selector=selector("jobs", "load"))
    assert len(jobs) == len(kubectl.get_all("pods", selector=selector("jobs", "load"))) == 2
    assert {job["metadata"]["ownerReferences"][0]["name"] for job in jobs} == {"jobs"}
    assert kubectl.get_all("jobs", selector=selector("jobs", "report")) == []


def test_a_suspended_job_is_queued_and_runs_when_it_is_let(kubectl: Kubectl):
    # No Pod can be made before there was time to suspend the Job, as Kueue does.
    kubectl.run("create", "quota", "none", "--hard=pods=0")
    kubectl.apply(flow_run("held", "[{name: a, workload: Job, command: ['true']}]"))
    kubectl.reach("held", "a", "Queued")
    (job,) = kubectl.get_all("jobs", selector=selector("held", "a"))
    suspend(kubectl, job["metadata"]["name"], is_suspended=True)
    kubectl.run("delete", "quota", "none")
    kubectl.wait("flowrun/held", "jsonpath={.status.tasks[0].reason}=AdmissionQueue")

    suspend(kubectl, job["metadata"]["name"], is_suspended=False)
    run = kubectl.finish("held")

    assert (task(run, "a")["state"], task(run, "a")["attempt"]) == ("Completed", 1)
    assert "disruptions" not in task(run, "a")


def test_a_job_that_its_queue_takes_back_while_it_runs_is_tried_again_and_no_retry_is_used(kubectl: Kubectl):
    kubectl.apply(flow_run("bumped", f"[{{name: a, workload: Job, script: {FIRST_ATTEMPT_HANGS}}}]"))
    kubectl.reach("bumped", "a", "Running")
    (job,) = kubectl.get_all("jobs", selector=selector("bumped", "a"))

    suspend(kubectl, job["metadata"]["name"], is_suspended=True)
    run = kubectl.finish("bumped")

    assert run["status"]["state"] == "Completed"
    assert (task(run, "a")["attempt"], task(run, "a")["disruptions"]) == (2, 1)
    assert task(run, "a")["attempts"][0]["reason"] == "Preempted"
    assert "failures" not in task(run, "a")


def suspend(kubectl: Kubectl, job: str, *, is_suspended: bool) -> None:
    kubectl.run("patch", "job", job, "--type=merge", "-p", json.dumps({"spec": {"suspend": is_suspended}}))


# Workspaces


def test_three_tasks_share_a_workspace_that_goes_with_its_run(kubectl: Kubectl, volume: Volume):
    kubectl.apply(
        flow_run(
            "shares",
            """
            - {name: one, script: "echo one >> /data/words"}
            - {name: two, dependsOn: [one], workload: Job, script: "echo two >> /data/words"}
            - name: three
              dependsOn: [two]
              script: |
                #!/usr/bin/env python3
                import json, os
                json.dump({"words": open("/data/words").read().split()}, open(os.environ["PENSTOCK_OUTPUTS"], "w"))
            """,
            workspace={"size": "1Gi", "mountPath": "/data", "storageClassName": volume.storage_class},
        )
    )

    run = kubectl.finish("shares")
    (claim,) = kubectl.get_all("persistentvolumeclaims", selector="penstock.dev/run=shares")
    kubectl.run("delete", "flowrun", "shares")

    assert task(run, "three")["outputs"] == {"words": ["one", "two"]}
    assert (volume.folder / "words").read_text() == "one\ntwo\n"
    kubectl.wait(f"persistentvolumeclaim/{claim['metadata']['name']}", "delete")


def test_a_task_says_so_where_no_volume_comes_for_its_workspace(kubectl: Kubectl):
    kubectl.apply(
        flow_run(
            "unbound",
            "[{name: a, queueTimeout: 5s, command: ['true']}]",
            workspace={"size": "1Gi", "storageClassName": "nobody-provides-it"},
        )
    )

    run = kubectl.finish("unbound")

    assert (task(run, "a")["state"], task(run, "a")["reason"]) == ("TimedOut", "WorkspaceUnbound")
    assert "PersistentVolumeClaim" in task(run, "a")["message"]


# Child runs


CHILD = flow(
    "child",
    """
    - name: greet
      args: ["$(params.who)"]
      script: |
        #!/bin/sh
        echo "{\\"greeting\\": \\"Hello, $1\\"}" > "$PENSTOCK_OUTPUTS"
    """,
    params=[{"name": "who"}],
    outputs={"greeting": "$(tasks.greet.outputs.greeting)"},
)


def test_a_task_that_is_a_flow_gives_out_what_its_child_does(kubectl: Kubectl):
    kubectl.apply(
        CHILD
        + flow_run(
            "parent",
            "[{name: call, flow: {name: child, params: {who: $(params.who)}}}]",
            params=[{"name": "who", "default": "Kubernetes"}],
            outputs={"said": "$(tasks.call.outputs.greeting)"},
        )
    )

    run = kubectl.finish("parent")
    child = kubectl.get("flowrun", task(run, "call")["run"])

    assert run["status"]["outputs"] == {"said": "Hello, Kubernetes"}
    assert child["status"]["outputs"] == task(run, "call")["outputs"] == {"greeting": "Hello, Kubernetes"}
    assert child["metadata"]["ownerReferences"][0]["name"] == "parent"


def test_a_child_is_cancelled_through_its_parent_and_both_clean_up(kubectl: Kubectl):
    cleanup = [{"name": "cleanup", "image": IMAGE, "command": ["true"]}]
    kubectl.apply(
        flow("endless", "[{name: long, command: [sleep, '600']}]", **{"finally": cleanup})
        + flow_run("parent", "[{name: call, flow: {name: endless}}]", **{"finally": cleanup})
    )
    child = kubectl.reach("parent", "call", "Running")["run"]
    kubectl.reach(child, "long", "Running")

    kubectl.change("parent", shutdown="Cancel")
    parent = kubectl.finish("parent")

    ended = kubectl.get("flowrun", child)
    assert (parent["status"]["state"], parent["status"]["reason"]) == ("Cancelled", "RunCancelled")
    assert (ended["status"]["state"], ended["status"]["shutdown"]["mode"]) == ("Cancelled", "Cancel")
    assert "shutdown" not in ended["spec"]
    assert task(ended, "long")["state"] == task(parent, "call")["state"] == "Cancelled"
    assert task(ended, "cleanup")["state"] == task(parent, "cleanup")["state"] == "Completed"
    # The kubelet tells the end of a container before that of its Pod.
    kubectl.wait(f"pod/{task(ended, 'long')['pod']}", "jsonpath={.status.phase}=Failed")


# How long Pods are kept


def test_pods_of_ended_attempts_are_kept_as_long_as_the_flow_says(kubectl: Kubectl):
    kubectl.apply(
        flow_run(
            "tidy",
            """
            - {name: good, command: ["true"]}
            - {name: bad, allowFailed: 1, command: ["false"]}
            """,
            podRetention={"completed": "1s", "failed": "1h"},
        )
    )

    run = kubectl.finish("tidy")
    kubectl.wait(f"pod/{task(run, 'good')['pod']}", "delete")

    assert run["status"]["state"] == "Completed"
    # The kubelet tells the end of a container before that of its Pod.
    kubectl.wait(f"pod/{task(run, 'bad')['pod']}", "jsonpath={.status.phase}=Failed")
