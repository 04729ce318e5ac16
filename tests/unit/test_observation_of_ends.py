"""When a Pod counts as finished, and what ended it.

A real kubelet reports the ends of containers before that of the Pod, and deletes a finished Pod once more.
"""

import msgspec
import pytest

from penstock_operator.workloads.pod import Pod
from penstock_operator.workloads.pod_status import ENDED_BEFORE, observe_pod, read_stop_request

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
        pytest.param(0, "Completed", "12:00:29", 30, "PodDeleted", id="it exited with 0 on the signal"),
        pytest.param(0, "Completed", "12:00:30", 30, "PodDeleted", id="the same, within the second of the request"),
        pytest.param(0, "Completed", "12:00:31", 30, None, id="completed, and was deleted afterwards"),
        pytest.param(0, "Completed", "12:00:02", 0, None, id="completed, and was deleted again by its kubelet"),
    ],
)
def test_a_pod_that_was_stopped_from_outside_has_neither_failed_nor_completed(
    exit_code, why, deleted_at, grace_s, want
):
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


def observe(*, exit_code=0, phase="Failed", metadata=None, stop_asked_at=None, **status):
    terminated = {"exitCode": exit_code, "reason": "Completed", "finishedAt": "2026-11-22T12:00:10Z"}
    labels = {"penstock.dev/task": "load", "penstock.dev/attempt": "1"}
    body = {
        "metadata": {"name": "p", "labels": labels, **(metadata or {})},
        "status": {
            "phase": phase,
            "containerStatuses": [{"name": "main", "state": {"terminated": terminated}}],
            **status,
        },
    }
    seen = observe_pod(msgspec.convert(body, Pod), now=0.0, stop_asked_at=stop_asked_at)
    assert seen is not None
    assert seen.outcome is not None
    return seen.outcome.reason


def disrupted(at, reason):
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": f"2026-11-22T{at}Z"}]


@pytest.mark.parametrize(
    ("log", "message", "raw"),
    [
        pytest.param("busy", "exit code 3: busy", "busy", id="one line"),
        pytest.param(
            "KeyError: 'a'\nbye\n", "exit code 3: KeyError: 'a'\nKeyError: 'a'\nbye", "KeyError: 'a'\nbye", id="two"
        ),
        pytest.param("", "exit code 3", "exit code 3", id="none"),
    ],
)
def test_of_a_failure_the_end_of_the_log_is_also_known_as_it_is(log, message, raw):
    terminated = {"exitCode": 3, "reason": "Error", "finishedAt": "2026-11-22T12:00:00Z", "message": log}
    body = {
        "metadata": {"name": "p", "labels": {"penstock.dev/task": "load", "penstock.dev/attempt": "1"}},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "main", "state": {"terminated": terminated}}]},
    }
    seen = observe_pod(msgspec.convert(body, Pod), now=0.0)
    assert seen is not None
    assert seen.outcome is not None
    assert (seen.outcome.message, seen.outcome.raw_message) == (message, raw)


KUBELET_DELETED = {"deletionTimestamp": "2026-11-22T12:00:12Z", "deletionGracePeriodSeconds": 0}


@pytest.mark.parametrize(
    ("at", "reason", "want"),
    [
        pytest.param("12:00:05", "EvictionByEvictionAPI", "Evicted", id="evicted while it ran"),
        pytest.param("12:00:05", "PreemptionByScheduler", "Preempted", id="preempted while it ran"),
        pytest.param("12:00:05", "DeletionByTaintManager", "NodeLost", id="its node was tainted"),
        pytest.param("12:00:11", "EvictionByEvictionAPI", None, id="evicted after its end"),
    ],
)
def test_a_disruption_keeps_its_time_when_the_kubelet_has_deleted_the_pod(at, reason, want):
    assert observe(metadata=KUBELET_DELETED, conditions=disrupted(at, reason), phase="Succeeded") == want


@pytest.mark.parametrize("exit_code", [0, 137, 1])
def test_a_pod_that_its_kubelet_evicted_was_interrupted_whatever_its_exit_code(exit_code):
    evicted = disrupted("12:00:08", "TerminationByKubelet")
    assert observe(exit_code=exit_code, reason="Evicted", conditions=evicted) == "Evicted"
    assert observe(exit_code=exit_code, reason="Evicted") == "Evicted"


def test_a_sidecar_that_is_evicted_does_not_undo_the_end_of_main():
    assert observe(reason="Evicted", conditions=disrupted("12:00:11", "TerminationByKubelet")) is None


def test_an_end_that_was_reported_before_the_kubelet_knew_of_the_deletion_counts():
    metadata = {"generation": 2, "deletionTimestamp": "2026-11-22T12:00:40Z", "deletionGracePeriodSeconds": 30}
    assert observe(metadata=metadata, observedGeneration=1) is None
    assert observe(metadata=metadata, observedGeneration=2) == "PodDeleted"


def test_the_time_of_the_first_request_is_remembered():
    first = {"deletionTimestamp": "2026-11-22T12:00:35Z", "deletionGracePeriodSeconds": 30}
    running = {"metadata": first, "status": {"containerStatuses": [{"name": "main", "state": RUNNING}]}}
    asked_at = read_stop_request(msgspec.convert(running, Pod))
    assert observe(metadata=KUBELET_DELETED, stop_asked_at=asked_at) == "PodDeleted"
    assert observe(metadata=KUBELET_DELETED) is None


def test_a_forced_deletion_of_a_running_pod_is_a_request_like_others():
    forced = {"deletionTimestamp": "2026-11-22T12:00:05Z", "deletionGracePeriodSeconds": 0}
    running = {"metadata": forced, "status": {"containerStatuses": [{"name": "main", "state": RUNNING}]}}
    asked_at = read_stop_request(msgspec.convert(running, Pod))
    assert observe(metadata=forced, stop_asked_at=asked_at) == "PodDeleted"


def test_an_end_that_was_seen_before_the_request_counts():
    first = {"deletionTimestamp": "2026-11-22T12:00:35Z", "deletionGracePeriodSeconds": 30}
    assert observe(metadata=first, stop_asked_at=ENDED_BEFORE) is None
    assert observe(metadata=first, exit_code=143, stop_asked_at=ENDED_BEFORE) == "ExitCode"
