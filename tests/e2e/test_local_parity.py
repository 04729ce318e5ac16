"""One manifest, run on real Pods and as processes of this machine: the same states, reasons, messages and outputs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kubectl import Kubectl
from tests.e2e.manifest import flow, run_of

pytestmark = pytest.mark.e2e

INNER = flow(
    "parity-inner",
    """
    - {name: one, args: ["$(params.x)"], script: 'echo "{\\"is\\": \\"$1\\"}" > $PENSTOCK_OUTPUTS'}
    """,
    params=[{"name": "x"}],
    outputs={"is": "$(tasks.one.outputs.is)"},
)
OUTER = flow(
    "parity",
    """
    - {name: count, script: 'echo "{\\"n\\": 3, \\"words\\": [\\"a\\", \\"b c\\"]}" > $PENSTOCK_OUTPUTS'}
    - name: each
      forEach: {count: "$(tasks.count.outputs.n)"}
      allowFailed: 1
      args: ["$(index)", "$(tasks.count.outputs.words)", "$$(literal)", "$(NOTHING)"]
      script: |
        #!/bin/sh
        test "$1" != 1 || { echo "one is refused"; exit 4; }
        test "$2" = '["a","b c"]' && test "$3" = '$(literal)' && test "$4" = '$(NOTHING)' || exit 9
        echo "{\\"square\\": $(($1 * $1))}" > $PENSTOCK_OUTPUTS
    - {name: again, retry: {limit: 2, delay: 100ms}, script: 'echo "try $ATTEMPT"; test "$ATTEMPT" = 2'}
    - {name: slow, timeout: 1s, allowFailed: 1, script: 'trap "exit 143" TERM; sleep 600 & wait'}
    - {name: after-slow, dependsOnStates: [{task: slow, states: [Failed]}], command: ["true"]}
    - {name: no-object, allowFailed: 1, script: 'echo "[1]" > $PENSTOCK_OUTPUTS'}
    - {name: too-much, allowFailed: 1, script: 'head -c 5000 /dev/zero | tr "\\\\0" x > $PENSTOCK_OUTPUTS'}
    - {name: said, allowFailed: 1, script: 'echo "the file says so" > $PENSTOCK_OUTPUTS; echo log; exit 5'}
    - {name: killed, allowFailed: 1, script: 'exec 2> /dev/null; sh -c "kill -9 \\$\\$"'}
    - {name: quiet, allowFailed: 1, logTail: false, script: 'echo log; exit 6'}
    - {name: long-log, allowFailed: 1, script: 'i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo "line $i"; done; exit 7'}
    - {name: skipped, when: "tasks.count.outputs.n > 5", command: ["true"]}
    - {name: below, dependsOn: [skipped], command: ["true"]}
    - {name: inner, flow: {name: parity-inner, params: {x: "$(tasks.count.outputs.words[1])"}}}
    - name: data
      env:
        - {name: A, valueFrom: {configMapKeyRef: {name: parity, key: a}}}
        - {name: B, valueFrom: {secretKeyRef: {name: parity, key: b}}}
        - {name: C, value: "$(A)-$(B)"}
      podTemplate:
        spec:
          containers: [{name: main, volumeMounts: [{name: v, mountPath: /data/deep}]}]
          volumes: [{name: v, configMap: {name: parity}}]
      script: 'echo "{\\"c\\": \\"$C\\", \\"file\\": \\"$(cat /data/deep/a)\\"}" > $PENSTOCK_OUTPUTS'
    """,
    failurePolicy="Continue",
    outputs={"squares": "$(tasks.each.outputs)", "inner": "$(tasks.inner.outputs.is)", "data": "$(tasks.data.outputs)"},
    **{"finally": [{"name": "last", "args": ["$(tasks.slow.state)"], "script": 'test "$1" = TimedOut'}]},
)
DATA = "".join(
    f"---\n{json.dumps({'apiVersion': 'v1', 'kind': kind, 'metadata': {'name': 'parity'}, field: data})}\n"
    for kind, field, data in (("ConfigMap", "data", {"a": "x"}), ("Secret", "stringData", {"b": "hush"}))
)
SAME = ("name", "state", "reason", "message", "exitCode", "attempt", "failures", "outputs", "finally")

OF_ATTEMPT = ("attempt", "index", "reason", "message", "exitCode")
OF_RUN = ("state", "reason", "message", "outputs", "progress", "counts", "params")


def outcome(run: dict[str, Any]) -> Any:
    """What a run's status says, without names, times and places."""
    status = run["status"]
    tasks = []
    for entry in status["tasks"]:
        task = {field: entry.get(field) for field in SAME}
        items = entry.get("items") or {}
        task["items"] = {field: items.get(field) for field in ("total", "counts", "indexes")}
        failures = [*(entry.get("attempts") or ()), *(items.get("failed") or ())]
        task["failures of attempts"] = [
            {field: one.get(field) for field in ("attempt", "index", "reason", "message", "exitCode")}
            for one in failures
        ]
        tasks.append(task)
    run_wide = {
        field: status.get(field) for field in ("state", "reason", "message", "outputs", "progress", "counts", "params")
    }
    conditions = [(one["type"], one["status"], one["reason"]) for one in status["conditions"]]
    return {**run_wide, "conditions": conditions, "tasks": tasks}


def test_a_manifest_gives_the_same_on_this_machine_as_in_the_cluster(kubectl: Kubectl, tmp_path: Path):
    manifest = INNER + OUTER + DATA + run_of("parity", "parity")
    kubectl.apply(manifest)
    file = tmp_path / "parity.yaml"
    file.write_text(manifest)

    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", "run", "--local", str(file), "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )

    here, there = outcome(json.loads(done.stdout)), outcome(kubectl.finish("parity"))
    assert here == there, done.stderr
    assert here["state"] == "Completed"
    assert done.returncode == 0
    assert_lines_are_selected(kubectl)


def assert_lines_are_selected(kubectl: Kubectl) -> None:
    """Check the options of `penstock logs`, which the API server carries out, on the logs of the run."""
    assert kubectl.penstock("logs", "parity", "--item", "1") == "one is refused\n"
    of_task = ("logs", "parity", "--task", "long-log")
    assert len(kubectl.penstock(*of_task, "--since", "1h").splitlines()) == 200
    assert kubectl.penstock(*of_task, "--tail", "2") == "line 199\nline 200\n"
    stamped = kubectl.penstock(*of_task, "--tail", "1", "--timestamps")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\S+Z line 200\n", stamped)
