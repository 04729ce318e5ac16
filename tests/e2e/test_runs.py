"""Runs of real Pods: what ends how, and what the run says about it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import SYSTEM_NAMESPACE
from tests.e2e.kubectl import Kubectl

IMAGE = "python:3.13-slim"


def flow_run(name: str, tasks: str, **spec: str) -> str:
    """Return the manifest of a run with an inline spec; `tasks` is YAML, indented by six."""
    extra = "".join(f"    {key}: {value}\n" for key, value in spec.items())
    return f"""
apiVersion: penstock.dev/v1alpha1
kind: FlowRun
metadata: {{name: {name}}}
spec:
  flowSpec:
    defaults: {{image: "{IMAGE}"}}
{extra}    tasks:
{tasks}
"""


def task(run: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in run["status"]["tasks"] if entry["name"] == name)


def test_a_failure_tells_the_end_of_its_log(kubectl: Kubectl):
    kubectl.apply(flow_run("fails", "      - {name: a, script: 'echo the disk is on fire; exit 3'}"))

    run = kubectl.finish("fails")

    assert run["status"]["state"] == "Failed"
    assert (task(run, "a")["reason"], task(run, "a")["exitCode"]) == ("ExitCode", 3)
    assert "the disk is on fire" in task(run, "a")["message"]
    assert "the disk is on fire" in run["status"]["message"]


def test_an_attempt_that_takes_too_long_is_stopped_and_tried_again(kubectl: Kubectl):
    kubectl.apply(
        flow_run(
            "slow",
            """
      - name: a
        timeout: 3s
        retry: {limit: 1}
        podTemplate: {spec: {terminationGracePeriodSeconds: 1}}
        env:
          - {name: ATTEMPT, valueFrom: {fieldRef: {fieldPath: "metadata.labels['penstock.dev/attempt']"}}}
        script: |
          #!/bin/sh
          if [ "$ATTEMPT" = 1 ]; then sleep 600; fi
""",
        )
    )

    run = kubectl.finish("slow")

    assert run["status"]["state"] == "Completed"
    assert task(run, "a")["attempt"] == 2
    assert task(run, "a")["attempts"][0]["reason"] == "DeadlineExceeded"


def test_a_sidecar_that_never_ends_holds_nothing_up_and_takes_no_log_away(kubectl: Kubectl):
    kubectl.apply(
        flow_run(
            "company",
            f"""
      - name: a
        script: 'echo all is done; echo "{{\\"x\\": 1}}" > "$PENSTOCK_OUTPUTS"'
        podTemplate:
          spec:
            terminationGracePeriodSeconds: 1
            containers:
              - name: side
                image: "{IMAGE}"
                command: [sleep, "600"]
                securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
""",
        )
    )

    run = kubectl.finish("company")

    assert (run["status"]["state"], task(run, "a")["outputs"]) == ("Completed", {"x": 1})
    pod = task(run, "a")["pod"]
    kubectl.wait(f"pod/{pod}", "jsonpath={.status.reason}=DeadlineExceeded")
    assert "all is done" in kubectl.run("logs", pod, "-c", "main")


def test_a_run_that_takes_too_long_ends_and_its_pods_with_it(kubectl: Kubectl):
    kubectl.apply(
        flow_run(
            "endless",
            """
      - {name: a, command: [sleep, "600"], podTemplate: {spec: {terminationGracePeriodSeconds: 1}}}
      - {name: b, dependsOn: [a], command: ["true"]}
""",
            timeout="5s",
        )
    )

    run = kubectl.finish("endless")

    assert (run["status"]["state"], run["status"]["reason"]) == ("TimedOut", "RunTimedOut")
    assert task(run, "a")["state"] == "Cancelled"
    assert task(run, "b")["state"] == "Skipped"
    kubectl.run("wait", "pods", "-l", "penstock.dev/run=endless", "--for=delete", "--timeout=60s")


def test_a_parameter_that_looks_like_a_reference_to_a_secret_stays_text(kubectl: Kubectl):
    kubectl.run("create", "secret", "generic", "db", "--from-literal=password=hunter2")
    kubectl.apply(f"""
apiVersion: penstock.dev/v1alpha1
kind: FlowRun
metadata: {{name: inject}}
spec:
  params: {{who: "$(DB_PASSWORD)"}}
  flowSpec:
    params: [{{name: who}}]
    tasks:
      - name: a
        image: "{IMAGE}"
        args: ["$(params.who)"]
        env:
          - {{name: DB_PASSWORD, valueFrom: {{secretKeyRef: {{name: db, key: password}}}}}}
          - {{name: WHO, value: "$(params.who)"}}
          - {{name: KNOWN, value: "$(DB_PASSWORD)"}}
        script: |
          #!/usr/bin/env python3
          import json, os, sys
          seen = {{"arg": sys.argv[1], "env": os.environ["WHO"], "own": os.environ["KNOWN"]}}
          json.dump(seen, open(os.environ["PENSTOCK_OUTPUTS"], "w"))
""")

    run = kubectl.finish("inject")

    assert task(run, "a")["outputs"] == {"arg": "$(DB_PASSWORD)", "env": "$(DB_PASSWORD)", "own": "hunter2"}


def test_deleting_a_run_stops_its_pods(kubectl: Kubectl):
    kubectl.apply(flow_run("doomed", '      - {name: a, forEach: {count: 3}, command: [sleep, "600"]}'))
    kubectl.wait("flowrun/doomed", "jsonpath={.status.state}=Running")

    kubectl.run("delete", "flowrun", "doomed")

    kubectl.run("wait", "pods", "-l", "penstock.dev/run=doomed", "--for=delete", "--timeout=120s")


def test_a_pod_that_somebody_deletes_is_replaced_and_no_retry_is_used(kubectl: Kubectl):  # B17
    kubectl.apply(
        flow_run(
            "bumped",
            """
      - name: a
        podTemplate: {spec: {terminationGracePeriodSeconds: 1}}
        env:
          - {name: ATTEMPT, valueFrom: {fieldRef: {fieldPath: "metadata.labels['penstock.dev/attempt']"}}}
        script: |
          #!/bin/sh
          if [ "$ATTEMPT" = 1 ]; then sleep 600; fi
""",
        )
    )
    kubectl.wait("flowrun/bumped", "jsonpath={.status.tasks[0].state}=Running")
    pod = task(kubectl.get("flowrun", "bumped"), "a")["pod"]

    kubectl.run("delete", "pod", pod, "--wait=false")
    run = kubectl.finish("bumped")

    assert run["status"]["state"] == "Completed"
    assert (task(run, "a")["attempt"], task(run, "a")["disruptions"]) == (2, 1)
    assert "failures" not in task(run, "a")
    assert task(run, "a")["attempts"][0]["reason"] == "PodDeleted"


def test_a_flow_edited_during_a_run_does_not_change_the_run(kubectl: Kubectl):
    flow = """
apiVersion: penstock.dev/v1alpha1
kind: Flow
metadata: {name: edited}
spec:
  defaults: {image: "python:3.13-slim"}
  tasks:
    - {name: a, script: "sleep 3"}
    - {name: b, dependsOn: [a], script: "echo '{\\"says\\": \\"WORD\\"}' > $PENSTOCK_OUTPUTS"}
"""
    kubectl.apply(flow.replace("WORD", "old"))
    kubectl.apply(
        "{apiVersion: penstock.dev/v1alpha1, kind: FlowRun, metadata: {name: edited}, spec: {flow: {name: edited}}}"
    )
    kubectl.wait("flowrun/edited", "jsonpath={.status.state}=Running")

    kubectl.run("delete", "flow", "edited")
    kubectl.apply(flow.replace("WORD", "new"))
    run = kubectl.finish("edited")

    assert task(run, "b")["outputs"] == {"says": "old"}


def test_a_run_waits_for_its_flow(kubectl: Kubectl):
    kubectl.apply(
        "{apiVersion: penstock.dev/v1alpha1, kind: FlowRun, metadata: {name: early}, spec: {flow: {name: late}}}"
    )
    kubectl.wait("flowrun/early", "jsonpath={.status.reason}=FlowNotFound")

    kubectl.apply(f"""
apiVersion: penstock.dev/v1alpha1
kind: Flow
metadata: {{name: late}}
spec: {{tasks: [{{name: a, image: "{IMAGE}", command: ["true"]}}]}}
""")

    assert kubectl.finish("early")["status"]["state"] == "Completed"


def test_a_quota_holds_tasks_back_and_fails_none(kubectl: Kubectl):  # argo-3
    kubectl.run("create", "quota", "few", "--hard=pods=2")
    kubectl.apply(flow_run("squeezed", '      - {name: a, forEach: {count: 2}, command: [sleep, "2"]}'))
    # Finished Pods don't count against the quota.
    run = kubectl.finish("squeezed")
    kubectl.run("delete", "quota", "few")
    kubectl.run("create", "quota", "few", "--hard=pods=1")
    kubectl.apply(flow_run("tight", '      - {name: a, forEach: {count: 3}, command: [sleep, "2"]}'))

    tight = kubectl.finish("tight")

    assert run["status"]["state"] == "Completed"
    assert tight["status"]["state"] == "Completed"
    assert task(tight, "a")["items"]["indexes"] == {"Completed": "0-2"}
    assert "failed" not in task(tight, "a")["items"]


def test_what_the_api_server_refuses_fails_the_task_in_its_words(kubectl: Kubectl):
    kubectl.apply(
        flow_run(
            "privileged",
            "      - {name: a, command: ['true'], podTemplate: {spec: {hostNetwork: true}}}",
        )
    )

    run = kubectl.finish("privileged")

    assert task(run, "a")["reason"] == "CreateRefused"
    assert 'violates PodSecurity "restricted' in task(run, "a")["message"]


def test_a_killed_operator_is_replaced_and_every_task_runs_once(kubectl: Kubectl, admin: Kubectl):
    kubectl.apply(
        flow_run(
            "survivor",
            """
      - {name: a, forEach: {count: 6}, maxParallel: 3, command: [sleep, "4"]}
      - {name: b, dependsOn: [a], command: ["true"]}
""",
        )
    )
    kubectl.wait("flowrun/survivor", "jsonpath={.status.state}=Running")
    leader = leading_pod(admin)

    kill_container(leader)
    run = kubectl.finish("survivor")

    assert run["status"]["state"] == "Completed"
    pods = kubectl.get_all("pods", selector="penstock.dev/run=survivor")
    assert len(pods) == 7
    assert {pod["metadata"]["labels"]["penstock.dev/attempt"] for pod in pods} == {"1"}
    assert not any(pod["metadata"].get("finalizers") for pod in pods)


def test_a_namespace_deleted_in_the_middle_of_a_run_ends(kubectl: Kubectl, admin: Kubectl):
    kubectl.apply(flow_run("swept", '      - {name: a, forEach: {count: 10}, maxParallel: 3, command: [sleep, "20"]}'))
    kubectl.wait("flowrun/swept", "jsonpath={.status.state}=Running")

    admin.run("delete", "namespace", kubectl.namespace, "--timeout=150s")

    assert "not found" in admin.refused("get", "namespace", kubectl.namespace).message


def leading_pod(admin: Kubectl) -> dict[str, Any]:
    holder = admin.in_namespace(SYSTEM_NAMESPACE).get("lease", "penstock-operator")["spec"]["holderIdentity"]
    return admin.in_namespace(SYSTEM_NAMESPACE).get("pod", holder)


def kill_container(pod: dict[str, Any]) -> None:
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
