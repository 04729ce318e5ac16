"""When a Pod counts as over: a real kubelet tells the ends of containers one report before that of the Pod."""

import msgspec
import pytest

from penstock_operator.observation import Pod, observe_pod

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
def test_a_pod_is_over_when_none_of_its_containers_runs(phase, states, want):
    labels = {"penstock.dev/task": "load", "penstock.dev/attempt": "1"}
    statuses = [{"name": name, "state": state} for name, state in states.items()]
    body = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "1", "labels": labels},
        "status": {"phase": phase, "containerStatuses": statuses},
    }
    seen = observe_pod(msgspec.convert(body, Pod), now=0.0)
    assert seen is not None
    assert seen.is_finished is want
