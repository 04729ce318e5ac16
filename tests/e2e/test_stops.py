"""How tasks that run are stopped by a real kubelet: with SIGTERM and their grace, and their logs stay.

All runs of the module are in flight at once.
"""

from __future__ import annotations

import json

import pytest

from tests.e2e.kubectl import Kubectl
from tests.e2e.manifest import IMAGE, RESTRICTED, flow_run, task

pytestmark = pytest.mark.e2e

SAYS_GOODBYE = json.dumps(
    "#!/bin/sh\ntrap 'echo goodbye; sleep 0.3; exit 0' TERM\necho hello\nwhile :; do sleep 0.1; done\n"
)
"""A program that ends on SIGTERM, and with 0: what Kubernetes calls a success is none. As YAML."""
DEAF = json.dumps("#!/bin/sh\ntrap '' TERM\necho hello\nwhile :; do sleep 0.1; done\n")
"""A program that has to be killed, as YAML."""
SIDE = f"{{name: side, image: {IMAGE!r}, command: [sleep, '600'], securityContext: {RESTRICTED}}}"
NATIVE = SIDE.replace("{name: side", "{name: native, restartPolicy: Always")

LATE = flow_run(
    "late",
    f"""
    - {{name: program, timeout: 3s, script: {SAYS_GOODBYE}}}
    - {{name: job, workload: Job, timeout: 3s, script: {SAYS_GOODBYE}}}
    - {{name: deaf, timeout: 3s, script: {DEAF}}}
    - name: beside
      timeout: 3s
      script: {SAYS_GOODBYE}
      podTemplate: {{spec: {{containers: [{SIDE}]}}}}
    - name: native
      timeout: 4s
      script: {SAYS_GOODBYE}
      podTemplate: {{spec: {{initContainers: [{NATIVE}]}}}}
    """,
    failurePolicy="Continue",
)
CANCELLED = flow_run(
    "stopped",
    f"""
    - {{name: program, script: {SAYS_GOODBYE}}}
    - {{name: job, workload: Job, script: {SAYS_GOODBYE}}}
    - {{name: homeless, command: ["true"], podTemplate: {{spec: {{nodeSelector: {{nowhere: "true"}}}}}}}}
    - {{name: unpullable, image: "localhost:1/none:1", command: ["true"]}}
    - name: unmounted
      command: ["true"]
      podTemplate:
        spec:
          volumes: [{{name: v, secret: {{secretName: nope}}}}]
          containers: [{{name: main, volumeMounts: [{{name: v, mountPath: /v}}]}}]
    - name: preparing
      command: ["true"]
      podTemplate:
        spec:
          initContainers:
          - {{name: init, image: {IMAGE!r}, command: [sleep, "600"], securityContext: {RESTRICTED}}}
    """,
)
TERMINATED = flow_run("killed", f"[{{name: program, script: {SAYS_GOODBYE}}}]")


@pytest.fixture(scope="module")
def runs(shared: Kubectl) -> Kubectl:
    """kubectl where all of the module's runs have been started."""
    shared.apply(LATE + CANCELLED + TERMINATED)
    return shared


@pytest.mark.parametrize(
    ("name", "log", "exit_code"),
    [
        pytest.param("program", ["hello", "goodbye"], 0, id="a program that ends well on SIGTERM"),
        pytest.param("job", ["hello", "goodbye"], 0, id="the same as a Job"),
        pytest.param("deaf", ["hello"], 137, id="a program that has to be killed"),
        pytest.param("beside", ["hello", "goodbye"], 0, id="one beside a sidecar"),
        pytest.param("native", ["hello", "goodbye"], 0, id="one beside a native sidecar"),
    ],
)
def test_the_log_of_a_task_that_timed_out_is_shown(runs: Kubectl, name: str, log: list[str], exit_code: int):
    entry = task(runs.finish("late"), name)

    assert (entry["state"], entry["reason"], entry["exitCode"]) == ("TimedOut", "DeadlineExceeded", exit_code)
    lines = runs.penstock("logs", "late", "--task", name).splitlines()
    assert [line.rpartition("| ")[2] for line in lines] == log
    # What Kubernetes says of the Pod is not what happened.
    assert runs.get("pod", entry["pod"])["status"]["phase"] == "Failed"


def test_the_log_of_a_task_that_was_cancelled_is_shown_and_what_never_started_is_gone(runs: Kubectl):
    for name in ("program", "job"):
        runs.reach("stopped", name, "Running")
    for name in ("homeless", "unpullable", "unmounted"):
        runs.wait("flowrun/stopped", reason_of(name), timeout_s=60)
    preparing = "penstock.dev/run=stopped,penstock.dev/task=preparing"
    started = "jsonpath={.status.initContainerStatuses[0].started}=true"
    runs.run("wait", "pods", "-l", preparing, f"--for={started}", "--timeout=60s")

    runs.change("stopped", shutdown="Cancel")
    run = runs.finish("stopped", timeout_s=60)

    assert {(entry["state"], entry["reason"]) for entry in run["status"]["tasks"]} == {("Cancelled", "RunCancelled")}
    for name in ("program", "job"):
        assert "goodbye" in runs.penstock("logs", "stopped", "--task", name)
    left = runs.get_all("pods", selector="penstock.dev/run=stopped")
    assert {pod["metadata"]["labels"]["penstock.dev/task"] for pod in left} == {
        "program", "job", "unpullable", "preparing"
    }  # fmt: skip


def test_terminating_a_run_waits_for_no_deadline(runs: Kubectl):
    runs.reach("killed", "program", "Running")

    runs.change("killed", shutdown="Terminate")
    run = runs.finish("killed", timeout_s=30)

    assert run["status"]["reason"] == "RunTerminated"
    runs.run("wait", "pods", "-l", "penstock.dev/run=killed", "--for=delete", "--timeout=30s")


def reason_of(name: str) -> str:
    """Return the condition that a task of the cancelled run says why it does not start."""
    reasons = {"homeless": "Unschedulable", "unpullable": "ImagePullFailed", "unmounted": "MountFailed"}
    return f"jsonpath={{.status.tasks[?(@.name=='{name}')].reason}}={reasons[name]}"
