"""Runs that wait for one another, and runs that use what others have done."""

from __future__ import annotations

import pytest

from tests.e2e.kubectl import Kubectl
from tests.e2e.manifest import UNTIL_RELEASED, flow, run_of, task

pytestmark = pytest.mark.e2e


def test_a_run_over_the_limit_is_queued_until_there_is_room(kubectl: Kubectl):
    kubectl.apply(
        flow("one", f"[{{name: a, script: {UNTIL_RELEASED}}}]", concurrency={"limit": 1, "onLimit": "Queue"}),
    )
    kubectl.apply(run_of("one", "first"))
    running = kubectl.reach("first", "a", "Running")
    kubectl.apply(run_of("one", "second"))
    kubectl.wait("flowrun/second", "jsonpath={.status.state}=Queued")
    queued = kubectl.get("flowrun", "second")["status"]

    kubectl.release(running["pod"])
    first = kubectl.finish("first")
    kubectl.release(kubectl.reach("second", "a", "Running")["pod"])
    second = kubectl.finish("second")

    assert (queued["reason"], queued["queuePosition"]) == ("ConcurrencyLimit", 1)
    assert first["status"]["state"] == second["status"]["state"] == "Completed"
    assert second["status"]["startTime"] >= first["status"]["completionTime"]


CACHED = flow(
    "cached",
    """
    - name: load
      cache: {key: "$(params.day)", ttl: 1h}
      script: |
        #!/bin/sh
        sleep 2
        echo "{\\"day\\": \\"$1\\"}" > "$PENSTOCK_OUTPUTS"
      args: ["$(params.day)"]
    """,
    params=[{"name": "day"}],
)


def test_a_task_with_a_known_key_reuses_outputs_and_makes_no_pod(kubectl: Kubectl):
    kubectl.apply(CACHED + run_of("cached", "first", params={"day": "monday"}))
    first = kubectl.finish("first")

    kubectl.apply(
        run_of("cached", "again", params={"day": "monday"}) + run_of("cached", "other", params={"day": "tuesday"})
    )
    again, other = kubectl.finish("again"), kubectl.finish("other")

    assert (task(first, "load")["state"], task(other, "load")["state"]) == ("Completed", "Completed")
    assert (task(again, "load")["state"], task(again, "load")["run"]) == ("Cached", "first")
    assert task(again, "load")["outputs"] == {"day": "monday"}
    assert kubectl.get_all("pods", selector="penstock.dev/run=again") == []


def test_of_two_runs_with_one_key_the_second_waits_for_the_first_one(kubectl: Kubectl):
    runs = ["left", "right"]
    kubectl.apply(CACHED + "".join(run_of("cached", name, params={"day": "monday"}) for name in runs))

    states = [task(kubectl.finish(name), "load")["state"] for name in runs]

    assert sorted(states) == ["Cached", "Completed"]
    assert len(kubectl.get_all("pods", selector="penstock.dev/flow=cached")) == 1


def test_a_retry_keeps_what_was_completed_and_runs_the_rest(kubectl: Kubectl):
    kubectl.apply(
        flow(
            "fixable",
            """
            - {name: a, script: "echo '{\\"word\\": \\"kept\\"}' > $PENSTOCK_OUTPUTS"}
            - name: b
              args: ["$(tasks.a.outputs.word)"]
              env: [{name: OPEN, valueFrom: {configMapKeyRef: {name: gate, key: open, optional: true}}}]
              script: 'test "$1" = kept && test "$OPEN" = yes'
            """,
        )
        + run_of("fixable", "broken")
    )
    broken = kubectl.finish("broken")
    kubectl.run("create", "configmap", "gate", "--from-literal=open=yes")

    kubectl.penstock("retry", "broken", "--name", "mended")
    mended = kubectl.finish("mended")

    assert (broken["status"]["state"], mended["status"]["state"]) == ("Failed", "Completed")
    assert mended["status"]["retryOf"]["name"] == "broken"
    assert task(mended, "a")["outputs"] == {"word": "kept"}
    ran = kubectl.get_all("pods", selector="penstock.dev/run=mended")
    assert [pod["metadata"]["labels"]["penstock.dev/task"] for pod in ran] == ["b"]
