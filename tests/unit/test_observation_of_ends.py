"""When a Pod counts as finished, and what ended it.

A real kubelet reports the ends of containers before that of the Pod, and deletes a finished Pod once more.
"""

import msgspec
import pytest

from penstock_operator.workloads.pod import Pod
from penstock_operator.workloads.pod_status import observe_pod

TERMINATED = {"terminated": {"exitCode": 0, "finishedAt": "2026-11-22T12:00:00Z"}}
RUNNING = {"running": {"startedAt": "2026-11-22T12:00:00Z"}}


@pytest.mark.parametrize(
    ("phase", "states", "want"),
    [
        pytest.param("Running", {"main": TERMINATED}, True, id="its only container has ended, its phase not yet"),
        pytest.param("Pending", {"main": TERMINATED}, True, id="the same, so fast that it was never seen running"),
        pytest.param("Running", {"main": TERMINATED, "side": RUNNING}, False, id="a sidecar still runs"),
        pytest.param("Running", {"main": TERMINATED, "side": TERMINATED}, True, id="the sidecar has ended too"),
        pytest.param("Running", {"main": RUNNING}, False, id="the task still runs"),
        pytest.param("Pending", {}, False, id="nothing is known of its containers"),
        pytest.param("Succeeded", {}, True, id="the Pod says so itself"),
    ],
)
def test_a_pod_has_finished_when_none_of_its_containers_runs(phase, states, want):
    labels = {"penstock.dev/task": "load", "penstock.dev/attempt": "1"}
    statuses = [{"name": name, "state": state} for name, state in states.items()]
    body = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "1", "labels": labels},
        "status": {"phase": phase, "containerStatuses": statuses},
    }
    seen = observe_pod(msgspec.convert(body, Pod), now=0.0)
    assert seen is not None
    assert seen.is_finished is want


@pytest.mark.parametrize(
    ("exit_code", "why", "deleted_at", "grace_s", "want"),
    [
        pytest.param(143, "Error", "12:00:30", 30, "PodDeleted", id="deleted while it ran"),
        pytest.param(143, "Error", "12:00:02", 0, "PodDeleted", id="the same, deleted again by its kubelet"),
        pytest.param(137, "Error", "12:00:02", 0, "PodDeleted", id="it did not heed the signal and was killed"),
        pytest.param(1, "Error", "12:00:30", 30, "PodDeleted", id="deleted while it ran, ended in its own way"),
        pytest.param(1, "Error", "12:00:32", 30, "ExitCode", id="failed, and was deleted afterwards"),
        pytest.param(1, "Error", "12:00:02", 0, "ExitCode", id="failed, had finished, and was deleted afterwards"),
        pytest.param(137, "OOMKilled", "12:00:02", 0, "OOMKilled", id="out of memory, deleted afterwards"),
    ],
)
def test_a_pod_that_was_stopped_from_outside_has_not_failed(exit_code, why, deleted_at, grace_s, want):
    terminated = {"exitCode": exit_code, "reason": why, "finishedAt": "2026-11-22T12:00:00Z"}
    body = {
        "metadata": {
            "name": "p",
            "labels": {"penstock.dev/task": "load", "penstock.dev/attempt": "1"},
            "deletionTimestamp": f"2026-11-22T{deleted_at}Z",
            "deletionGracePeriodSeconds": grace_s,
        },
        "status": {"phase": "Failed", "containerStatuses": [{"name": "main", "state": {"terminated": terminated}}]},
    }
    seen = observe_pod(msgspec.convert(body, Pod), now=0.0)
    assert seen is not None
    assert seen.outcome is not None
    assert seen.outcome.reason == want
