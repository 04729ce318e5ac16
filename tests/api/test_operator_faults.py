"""The operator is killed, paused and cut off in the middle of its work: nothing is lost and nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kubernetes import client as kubernetes_client
from kubernetes import watch

from tests.api.faults import Seen
from tests.api.scene import DEADLINE_S, Scene, task

pytestmark = pytest.mark.api

QUICK_LEASE = ("--lease-duration", "6s", "--lease-renew-deadline", "5s", "--lease-retry-period", "500ms")
"""So that a test need not wait long for the Lease of a leader that is gone to run out."""


def wait_for_leader(api, lease: str, is_leader: Callable[[str], bool]) -> str:
    """Wait until an accepted replica holds the Lease, and return its identity."""
    leases = kubernetes_client.CoordinationV1Api(api)
    stream, seen = watch.Watch(), "none"
    for event in stream.stream(
        leases.list_namespaced_lease,
        "default",
        field_selector=f"metadata.name={lease}",
        timeout_seconds=int(DEADLINE_S),
    ):
        seen = event["object"].spec.holder_identity or ""
        if seen and is_leader(seen):
            stream.stop()
            return seen
    raise AssertionError(f"the Lease {lease} was held by {seen}")


WORK = (
    task("first", pod_run_for="300ms", pod_outputs='{"n": 12}'),
    task("each", forEach={"count": "$(tasks.first.outputs.n)"}, maxParallel=6, retry={"limit": 1},
         pod_exit_code="1,0", pod_run_for="300ms"),
    task("last", dependsOn=["each"], pod_run_for="300ms"),
)  # fmt: skip
"""1 + 12 * 2 + 1 Pods."""
WORK_PODS = 26


def is_begun(scene: Scene) -> bool:
    return len(scene.pods(ever=True)) >= 1


def is_first_finished(scene: Scene) -> bool:
    return any(pod.status.get("phase") == "Succeeded" for pod in scene.pods())


def is_mid_fan_out(scene: Scene) -> bool:
    return len(scene.pods(ever=True)) >= 5


def is_retrying(scene: Scene) -> bool:
    return len(scene.pods(ever=True)) >= 15


def is_nearly_finished(scene: Scene) -> bool:
    return len(scene.pods(ever=True)) >= WORK_PODS


def all_is_well(scene: Scene, name: str = "run") -> None:
    """Check a run of WORK to its end: every attempt once, none missing, none held."""
    status = scene.finish(name)
    assert (status["state"], status["progress"]) == ("Completed", "3/3")
    assert scene.entry("each", name)["items"]["counts"] == {"Completed": 12}
    assert len(scene.ever_attempts(name)) == WORK_PODS


# Crashes


def test_an_operator_that_is_killed_again_and_again_loses_nothing_and_does_nothing_twice(scene, replica):
    points = (None, is_begun, is_first_finished, is_mid_fan_out, is_retrying, is_nearly_finished)
    for number, point in enumerate(points):
        with replica() as operator:
            if point is None:
                scene.start(*WORK)
            else:
                scene.until(lambda point=point: point(scene), f"point {number}")
            operator.kill()
    with replica():
        all_is_well(scene)


@pytest.mark.parametrize("point", [is_begun, is_mid_fan_out, is_nearly_finished])
def test_an_operator_that_is_killed_once_resumes_where_it_was(scene, replica, point):
    with replica() as operator:
        scene.start(*WORK)
        scene.until(lambda: point(scene), point.__name__)
        operator.kill()
    with replica():
        all_is_well(scene)


def test_what_ends_while_no_operator_runs_is_not_lost(scene, replica):
    with replica() as operator:
        scene.start(task("a", pod_run_for="500ms", pod_outputs='{"x": 1}'), outputs={"x": "$(tasks.a.outputs.x)"})
        scene.running_pod("a")
        operator.kill()
    # Its Pod ends and is deleted: the finalizer keeps its outcome readable.
    ended = scene.until(lambda: scene.pod("a").status.get("phase") == "Succeeded" and scene.pod("a"), "the Pod to end")
    scene.delete_pod(ended)
    scene.start(task(), name="made-meanwhile")

    with replica():
        assert scene.finish()["outputs"] == {"x": 1}
        assert scene.finish("made-meanwhile")["state"] == "Completed"
    assert len(scene.ever_attempts()) == 1


def test_a_pod_that_is_deleted_while_no_operator_runs_counts_as_deleted_and_not_as_failed(scene, replica):
    with replica() as operator:
        scene.start(task(pod_outcome="run", pod_stop_after="1500ms"))
        first = scene.running_pod()
        operator.kill()
    scene.delete_pod(first)
    scene.until(
        lambda: (
            scene.ever["pods"][first.metadata.uid].metadata.deletion_grace_period_seconds == 0
            and scene.ever["pods"][first.metadata.uid].status["phase"] == "Failed"
        ),
        "its node to have done with it",
    )

    with replica():
        scene.running_pod(attempt=2)
        scene.until(lambda: scene.entry().get("disruptions") == 1, "the disruption to be counted")
    assert scene.entry()["attempts"][0]["reason"] == "PodDeleted"


def test_a_run_that_is_deleted_while_no_operator_runs_leaves_no_pods(scene, replica):
    with replica() as operator:
        scene.start(task(pod_outcome="run"), task("done"))
        scene.running_pod()
        operator.kill()
    scene.delete("FlowRun", "run")
    scene.until(lambda: not scene.now["flowruns"], "the run to be gone")

    with replica():
        scene.until(lambda: not scene.pods(), "its Pods to be gone")


@pytest.mark.parametrize(
    ("flow", "act", "want"),
    [
        pytest.param(
            [task("slow", pod_run_for="6s"), task("last", dependsOn=["slow"])],
            {"shutdown": "Drain"},
            {"slow": ("Completed", None), "last": ("Skipped", "RunDrained"), "clean": ("Completed", None)},
            id="while a run is drained",
        ),
        pytest.param(
            [task("slow", pod_outcome="run", pod_stop_after="3s"), task("last", dependsOn=["slow"])],
            {"shutdown": "Cancel"},
            {
                "slow": ("Cancelled", "RunCancelled"),
                "last": ("Skipped", "UpstreamFailed"),
                "clean": ("Completed", None),
            },
            id="while Pods of a cancelled run stop",
        ),
        pytest.param(
            [{"name": "slow", "approval": {"timeout": "6s"}}, task("last", dependsOn=["slow"])],
            {},
            {
                "slow": ("TimedOut", "ApprovalTimeout"),
                "last": ("Skipped", "UpstreamFailed"),
                "clean": ("Completed", None),
            },
            id="while an approval waits",
        ),
        pytest.param(
            [task("slow", retry={"limit": 1, "delay": "10s"}, pod_exit_code="1,0"), task("last", dependsOn=["slow"])],
            {},
            {"slow": ("Completed", None), "last": ("Completed", None), "clean": ("Completed", None)},
            id="while a retry waits",
        ),
    ],
)
def test_an_operator_that_is_killed_loses_nothing(scene, replica, flow, act, want):
    with replica() as operator:
        scene.start(*flow, **{"finally": [task("clean")]})
        if act:
            scene.pod("slow")
            scene.patch("FlowRun", "run", {"spec": act})
            scene.until(lambda: "shutdown" in scene.status(), "the shutdown to be stored")
        else:
            scene.until(lambda: scene.entry("slow").get("state") in ("Paused", "Retrying"), "the task to begin to wait")
        operator.kill()
    with replica() as operator:
        status = scene.finish()
        assert {entry["name"]: (entry["state"], entry.get("reason")) for entry in status["tasks"]} == want
        assert "Traceback" not in operator.log


def test_the_next_operator_uses_the_claim_that_is_there(scene, replica, volume):
    with replica() as operator:
        scene.start(
            task("a", pod_run_for="1s"),
            task("b", dependsOn=["a"]),
            workspace={"size": "1Mi", "storageClassName": volume},
        )
        scene.until(scene.pods, "the first Pod")
        operator.kill()
    with replica():
        assert scene.finish()["state"] == "Completed"
    assert len(scene.core.list_namespaced_persistent_volume_claim(scene.namespace).items) == 1


# Two replicas


def test_the_standby_takes_over_when_the_leader_is_killed(scene, replica, api):
    with replica(identity="one", options=QUICK_LEASE) as leader:
        wait_for_leader(api, scene.namespace, "one".__eq__)
        with replica(identity="two", options=QUICK_LEASE):
            scene.start(*WORK)
            scene.until(lambda: is_mid_fan_out(scene), "the fan-out to begin")
            leader.kill()
            all_is_well(scene)
            wait_for_leader(api, scene.namespace, "two".__eq__)


def test_the_standby_takes_over_when_the_leader_is_terminated(scene, replica, api):
    with replica(identity="one", options=QUICK_LEASE) as leader:
        wait_for_leader(api, scene.namespace, "one".__eq__)
        with replica(identity="two", options=QUICK_LEASE):
            scene.start(*WORK)
            scene.until(lambda: is_mid_fan_out(scene), "the fan-out to begin")
            assert leader.terminate() == 0
            all_is_well(scene)
    assert "Traceback" not in leader.log


def test_a_leader_that_slept_while_another_took_over_writes_nothing_and_ends(scene, replica, proxy, api):
    with replica(proxy.kubeconfig, identity="one", options=QUICK_LEASE) as leader:
        wait_for_leader(api, scene.namespace, "one".__eq__)
        with replica(identity="two", options=QUICK_LEASE):
            scene.start(*WORK)
            scene.until(lambda: is_mid_fan_out(scene), "the fan-out to begin")
            leader.pause()
            wait_for_leader(api, scene.namespace, "two".__eq__)
            scene.until(lambda: is_retrying(scene), "the other to continue")
            # What was sent before has arrived long since.
            sent = proxy.seen(is_write_or_renewal)
            leader.resume()

            assert leader.wait() == 1
            assert proxy.seen(is_write_or_renewal) == sent
            all_is_well(scene)
    assert "Traceback" not in leader.log


# The API server out of reach


def anything(_: Seen) -> bool:
    return True


def is_write(seen: Seen) -> bool:
    return seen.method != "GET" and "leases" not in seen.path


def is_write_or_renewal(seen: Seen) -> bool:
    return seen.method != "GET"


def is_pod_create(seen: Seen) -> bool:
    return seen.method == "POST" and seen.path.endswith("/pods")


def is_status_write(seen: Seen) -> bool:
    return seen.method == "PATCH" and seen.path.endswith("/status")


def is_pod_watch(seen: Seen) -> bool:
    return seen.is_watch and seen.path.endswith("/pods")


def test_a_run_continues_after_the_api_server_was_out_of_reach(scene, replica, proxy):
    with replica(proxy.kubeconfig):
        scene.start(*WORK)
        scene.until(lambda: is_mid_fan_out(scene), "the fan-out to begin")
        with proxy.outage(anything, cut=True):
            proxy.cut_streams()
            # No operator sees these until the outage has ended.
            scene.until(
                lambda: all(pod.status.get("phase") in ("Succeeded", "Failed") for pod in scene.pods()),
                "all Pods to end unseen",
            )
        all_is_well(scene)


@pytest.mark.parametrize(
    ("matches", "fault"),
    [
        pytest.param(is_write, {"times": 6, "status": 429, "reason": "TooManyRequests"}, id="too many requests"),
        pytest.param(is_write, {"times": 6, "status": 503, "reason": "ServiceUnavailable"}, id="unavailable"),
        pytest.param(is_pod_create, {"times": 6, "status": 409, "reason": "Conflict"}, id="conflicts"),
        pytest.param(is_pod_create, {"times": 6, "lose_reply": True}, id="replies to creates that get lost"),
        pytest.param(is_status_write, {"times": 3, "lose_reply": True}, id="replies to statuses that get lost"),
        pytest.param(
            is_pod_watch,
            {
                "times": 6,
                "first_line": {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}},
            },
            id="watches that are too old",
        ),
        pytest.param(is_pod_watch, {"times": 6, "cut": True}, id="watches that break"),
    ],
)
def test_a_run_continues_through_a_storm_of(scene, replica, proxy, matches, fault):
    raised = proxy.fail(matches, **fault)
    with replica(proxy.kubeconfig):
        scene.start(*WORK)
        all_is_well(scene)
        proxy.cut_streams()
        scene.start(*WORK, name="again")
        all_is_well(scene, "again")
    assert raised.times == 0, "the storm passed by"


# Namespaces


def test_a_namespace_that_is_deleted_in_the_middle_of_a_run_disappears(scene, replica, core):
    namespaces = {"field_selector": f"metadata.name={scene.namespace}"}
    version = core.list_namespace(**namespaces).metadata.resource_version
    with replica():
        scene.start(task("done"), task("each", forEach={"count": 20}, maxParallel=5, pod_run_for="200ms"))
        scene.until(lambda: is_mid_fan_out(scene), "the fan-out to begin")

        core.delete_namespace(scene.namespace)

        stream = watch.Watch()
        events = stream.stream(
            core.list_namespace, **namespaces, resource_version=version, timeout_seconds=int(DEADLINE_S)
        )
        assert any(event["type"] == "DELETED" for event in events), "the namespace is still there"
        stream.stop()
    scene.until(lambda: not scene.pods() and not scene.now["flowruns"], "nothing to be left")


def test_a_revision_that_was_replaced_is_not_run(scene, replica):
    flow = {"tasks": [task("wait", pod_outcome="run"), task("after", dependsOn=["wait"])]}
    with replica() as operator:
        scene.create("Flow", "flow", flow)
        scene.start_of("flow")
        scene.reach_task("Running", "wait")
        operator.kill()
    revision = scene.status()["revision"]
    stored = scene.core.read_namespaced_config_map(revision, scene.namespace)
    scene.core.delete_namespaced_config_map(revision, scene.namespace)
    data = {"spec.json": stored.data["spec.json"].replace("busybox", "attacker")}
    scene.core.create_namespaced_config_map(
        scene.namespace,
        {"metadata": {"name": revision, "labels": stored.metadata.labels}, "immutable": True, "data": data},
    )
    with replica():
        status = scene.reach("Failed")
    assert (status["state"], status["reason"]) == ("Failed", "InvalidStatus")
    assert "has been replaced" in status["message"]
