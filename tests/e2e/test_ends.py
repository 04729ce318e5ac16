"""How attempts end by what they do or by what their Pod needs: the run says what happened and charges its budget.

All runs of the module are in flight at once: what takes time in them is real time.
"""

from __future__ import annotations

import json

import pytest

from tests.e2e.kubectl import Kubectl
from tests.e2e.manifest import IMAGE, RESTRICTED, flow_run, task

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def runs(shared: Kubectl) -> Kubectl:
    """kubectl where all of the module's runs have been started."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": "hunter2"}}
    shared.apply(json.dumps(secret))
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "report"}, "data": {"in": '{"rows": 3}'}}
    shared.apply(json.dumps(settings))
    ending = OUT_OF_MEMORY + TOO_LONG + NEVER_STARTS + SIDECARS + FAILS + ENDLESS + PRIVILEGED + INJECT
    shared.apply(ending + OWN_FILE)
    return shared


OUT_OF_MEMORY = flow_run(
    "out-of-memory",
    """
    - name: main
      retry: {limit: 1}
      resources: {limits: {memory: 48Mi}}
      script: |
        #!/usr/bin/env python3
        held = b"x" * (256 << 20)
    - name: child
      resources: {limits: {memory: 48Mi}}
      script: |
        #!/bin/sh
        # The kernel's word takes a moment to the runtime, which may not listen yet when the container has just begun.
        for round in 1 2 3 4; do
          sleep 1
          python3 -c 'held = b"x" * (256 << 20)'
        done
        sleep 2
        exit 0
    """,
    failurePolicy="Continue",
)


def test_a_task_that_uses_too_much_memory_is_charged_to_its_limit(runs: Kubectl):
    main = task(runs.finish("out-of-memory"), "main")

    assert (main["state"], main["reason"], main["exitCode"]) == ("Failed", "OOMKilled", 137)
    assert (main["attempt"], main["failures"]) == (2, 2)
    assert "disruptions" not in main
    assert main["attempts"][0]["reason"] == "OOMKilled"


def test_a_child_process_that_uses_too_much_memory_fails_the_task_though_it_exits_well(runs: Kubectl):
    child = task(runs.finish("out-of-memory"), "child")

    assert (child["state"], child["reason"]) == ("Failed", "OOMKilled")


TOO_LONG = flow_run(
    "too-long",
    """
    - name: again
      timeout: 2s
      retry: {limit: 1}
      script: |
        #!/bin/sh
        if [ "$ATTEMPT" = 1 ]; then sleep 600; fi
    - name: once
      timeout: 2s
      command: [sleep, "600"]
    """,
    failurePolicy="Continue",
)


def test_an_attempt_that_takes_too_long_is_stopped_and_tried_again(runs: Kubectl):
    again = task(runs.finish("too-long"), "again")

    assert (again["state"], again["attempt"], again["failures"]) == ("Completed", 2, 1)
    assert again["attempts"][0]["reason"] == "DeadlineExceeded"


def test_without_a_retry_left_a_task_that_takes_too_long_is_timed_out(runs: Kubectl):
    once = task(runs.finish("too-long"), "once")

    assert (once["state"], once["reason"], once["attempt"]) == ("TimedOut", "DeadlineExceeded", 1)
    assert "timeout" in once["message"]


NEVER_STARTS = flow_run(
    "never-starts",
    """
    - name: unpullable
      image: "localhost:1/none:1"
      queueTimeout: 8s
      command: ["true"]
    - name: homeless
      queueTimeout: 4s
      command: ["true"]
      podTemplate: {spec: {nodeSelector: {nowhere: "true"}}}
    """,
    failurePolicy="Continue",
)


def test_an_image_that_can_not_be_pulled_is_waited_for_until_the_queue_timeout_and_named(runs: Kubectl):
    unpullable = task(runs.finish("never-starts"), "unpullable")

    assert (unpullable["state"], unpullable["reason"], unpullable["attempt"]) == ("TimedOut", "ImagePullFailed", 1)
    assert "queueTimeout" in unpullable["message"]
    assert "localhost:1/none:1" in unpullable["message"]
    assert "startTime" not in unpullable


def test_a_pod_that_no_node_takes_is_waited_for_until_the_queue_timeout(runs: Kubectl):
    homeless = task(runs.finish("never-starts"), "homeless")

    assert (homeless["state"], homeless["reason"]) == ("TimedOut", "Unschedulable")
    assert "node(s) didn't match" in homeless["message"]


SIDECARS = flow_run(
    "sidecars",
    f"""
    - name: injected
      script: |
        #!/bin/sh
        echo the work is done
        echo '{{"done": true}}' > "$PENSTOCK_OUTPUTS"
      podTemplate:
        spec:
          containers:
            - {{name: agent, image: "{IMAGE}", command: [sleep, "600"], securityContext: {RESTRICTED}}}
    - name: native
      script: |
        #!/bin/sh
        echo the work is done
        echo '{{"done": true}}' > "$PENSTOCK_OUTPUTS"
      podTemplate:
        spec:
          initContainers:
            - name: agent
              image: "{IMAGE}"
              restartPolicy: Always
              command: [sleep, "600"]
              securityContext: {RESTRICTED}
    """,
)


@pytest.mark.parametrize("name", ["injected", "native"])
def test_a_task_finishes_with_main_whatever_runs_beside_it(runs: Kubectl, name: str):
    run = runs.finish("sidecars", timeout_s=60)

    assert (task(run, name)["state"], task(run, name)["outputs"]) == ("Completed", {"done": True})


@pytest.mark.parametrize(("name", "phase"), [("injected", "Failed"), ("native", "Succeeded")])
def test_the_log_of_main_can_be_read_when_a_sidecar_had_to_be_stopped(runs: Kubectl, name: str, phase: str):
    pod = task(runs.finish("sidecars"), name)["pod"]
    runs.wait(f"pod/{pod}", f"jsonpath={{.status.phase}}={phase}")

    assert runs.run("logs", pod, "-c", "main") == "the work is done\n"


FAILS = flow_run("fails", "[{name: a, script: 'echo the disk is on fire; exit 3'}]")


def test_a_failure_tells_the_end_of_its_log(runs: Kubectl):
    run = runs.finish("fails")

    assert run["status"]["state"] == "Failed"
    assert (task(run, "a")["reason"], task(run, "a")["exitCode"]) == ("ExitCode", 3)
    assert "the disk is on fire" in task(run, "a")["message"]
    assert "the disk is on fire" in run["status"]["message"]


ENDLESS = flow_run(
    "endless",
    """
    - {name: a, command: [sleep, "600"]}
    - {name: b, dependsOn: [a], command: ["true"]}
    """,
    timeout="5s",
)


def test_a_run_that_takes_too_long_ends_and_its_pods_with_it(runs: Kubectl):
    run = runs.finish("endless")

    assert (run["status"]["state"], run["status"]["reason"]) == ("TimedOut", "RunTimedOut")
    assert task(run, "a")["state"] == "Cancelled"
    assert task(run, "b")["state"] == "Skipped"
    # A Pod that had not started by then is gone.
    left = runs.get_all("pods", selector="penstock.dev/run=endless")
    assert all(pod["status"]["phase"] == "Failed" for pod in left)


PRIVILEGED = flow_run("privileged", "[{name: a, command: ['true'], podTemplate: {spec: {hostNetwork: true}}}]")


def test_what_the_api_server_refuses_fails_the_task_in_its_words(runs: Kubectl):
    run = runs.finish("privileged")

    assert task(run, "a")["reason"] == "CreateRefused"
    assert 'violates PodSecurity "restricted' in task(run, "a")["message"]


INJECT = flow_run(
    "inject",
    """
    - name: a
      args: ["$(params.who)"]
      env:
        - {name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}
        - {name: WHO, value: "$(params.who)"}
        - {name: KNOWN, value: "$(DB_PASSWORD)"}
      script: |
        #!/usr/bin/env python3
        import json, os, sys
        seen = {"arg": sys.argv[1], "env": os.environ["WHO"], "own": os.environ["KNOWN"]}
        json.dump(seen, open(os.environ["PENSTOCK_OUTPUTS"], "w"))
    """,
    params=[{"name": "who", "default": "$(DB_PASSWORD)"}],
)


def test_a_parameter_that_looks_like_a_reference_to_a_secret_stays_text(runs: Kubectl):
    outputs = task(runs.finish("inject"), "a")["outputs"]

    assert outputs == {"arg": "$(DB_PASSWORD)", "env": "$(DB_PASSWORD)", "own": "hunter2"}


OWN_FILE = flow_run(
    "own-file",
    """
    - name: text
      command: [sort, --unique, --output, /tmp/kinds, /v/in]
      outputs: {file: /tmp/kinds}
      podTemplate: &report
        spec:
          volumes: [{name: v, configMap: {name: report}}]
          containers: [{name: main, volumeMounts: [{name: v, mountPath: /v}]}]
    - name: object
      command: [python3, -m, json.tool, /v/in, /tmp/report.json]
      outputs: {file: /tmp/report.json, format: JSON}
      podTemplate: *report
    - name: wrong
      command: [sort, --output, /tmp/report.json, /etc/hostname]
      outputs: {file: /tmp/report.json, format: JSON}
    """,
    outputs={"text": "$(tasks.text.outputs.text)", "rows": "$(tasks.object.outputs.rows)"},
    failurePolicy="Continue",
)


def test_programs_of_an_image_leave_their_outputs_in_a_file_of_their_own(runs: Kubectl):
    run = runs.finish("own-file")

    assert run["status"]["outputs"] == {"text": '{"rows": 3}', "rows": 3}, run["status"]["tasks"]
    assert (task(run, "wrong")["state"], task(run, "wrong")["reason"]) == ("Failed", "InvalidOutputs")
