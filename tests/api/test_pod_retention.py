"""How long the real operator keeps the Pods of ended attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from kubernetes import client as kubernetes_client

from penstock.api import names
from tests.api.faults import Seen
from tests.api.replica import Replica
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

Start = Callable[..., Replica]


@pytest.fixture
def operator(replica: Start) -> Iterator[Replica]:
    with replica() as made:
        yield made
        assert "Traceback" not in made.log


def tasks_of_pods(scene: Scene) -> set[str]:
    return {pod.metadata.labels[names.LABEL_TASK] for pod in scene.pods()}


@pytest.mark.parametrize(
    ("policy", "want"),
    [
        # OnPodCompletion, OnPodSuccess, and none
        pytest.param({"completed": "0s", "failed": "0s"}, set(), id="all"),
        pytest.param({"completed": "0s"}, {"bad"}, id="those that ended well"),
        pytest.param({"failed": "0s"}, {"good"}, id="those that failed"),
        pytest.param({"completed": "1h", "failed": "1h"}, {"good", "bad"}, id="none so soon"),
        pytest.param(None, {"good", "bad"}, id="none without a policy"),
    ],
)
def test_pods_go_by_how_their_attempt_ended(policy, want, scene, operator):
    flow = {} if policy is None else {"podRetention": policy}
    scene.start(task("good", pod_outputs='{"rows": 3}'), task("bad", pod_exit_code="1"), **flow)
    scene.finish()

    scene.until(lambda: tasks_of_pods(scene) == want, f"the Pods of {want} to be left")
    assert scene.entry("good")["outputs"] == {"rows": 3}
    assert scene.entry("bad")["reason"] == "ExitCode"
    # Observe once more, after the operator has seen all ends of this one.
    scene.start(task("later"), name="another", podRetention={"completed": "0s"})
    scene.finish("another")
    scene.until(lambda: tasks_of_pods(scene) == want, f"the Pods of {want} to be left")
    operator.until_metric(3 - len(want), "penstock_removals_total", kind="Pod")


def test_a_pod_stays_for_as_long_as_the_policy_says(scene, operator):
    scene.start(task("good"), podRetention={"completed": "3s"})
    pod = scene.pod("good")
    ended = scene.until(lambda: scene.ever["pods"][pod.metadata.uid].status.get("phase") == "Succeeded", "its end")
    scene.finish()
    assert ended
    assert scene.pods(), "it went too early"
    scene.until(lambda: not scene.pods(), "the Pod to go", within_s=30)


def test_a_failed_attempt_that_is_tried_again_goes_too(scene, operator):
    scene.start(task(retry={"limit": 2}, pod_exit_code="1,1,0"), podRetention={"failed": "0s"})
    scene.finish()

    scene.until(lambda: len(scene.pods()) == 1, "the failed ones to go")
    assert scene.pods()[0].metadata.labels[names.LABEL_ATTEMPT] == "3"
    assert [attempt["attempt"] for attempt in scene.entry()["attempts"]] == [1, 2]


def is_status_write(seen: Seen) -> bool:
    return seen.method == "PATCH" and seen.path.endswith("/status")


def test_no_pod_goes_before_its_outcome_is_stored(scene, replica, proxy):
    with replica(proxy.kubeconfig):
        scene.start(task("good", pod_run_for="1s", pod_outputs='{"rows": 3}'), podRetention={"completed": "0s"})
        scene.running_pod("good")
        with proxy.outage(is_status_write, status=503):
            scene.until(lambda: scene.pod("good").status.get("phase") == "Succeeded", "the Pod to end")
            proxy.wait_for_requests(lambda seen: is_status_write(seen) and "/flowruns/" in seen.path, 5)
            assert names.FINALIZER in scene.pod("good").metadata.finalizers
            assert scene.pod("good").metadata.deletion_timestamp is None
        scene.finish()
        scene.until(lambda: not scene.pods(), "the Pod to go")
    assert scene.entry("good")["outputs"] == {"rows": 3}
    assert len(scene.ever_attempts()) == 1


def test_a_run_keeps_fifty_pods_at_most_and_after_a_restart_those_of_finished_runs_are_deleted_in_time(scene, replica):
    def pods_of(run: str) -> set[str]:
        return {pod.metadata.name for pod in scene.pods() if pod.metadata.labels[names.LABEL_RUN] == run}

    with replica() as first:
        scene.start(task("good"), name="earlier", podRetention={"completed": "2s"})
        scene.finish("earlier")
        first.kill()
    scene.start(
        task("first", pod_exit_code="1", allowFailed=1),
        task("each", dependsOnStates=[{"task": "first", "states": ["Failed"]}], forEach={"count": 60}),
        name="many",
    )
    with replica():
        scene.finish("many")
        scene.until(lambda: len(pods_of("many")) == 50, "fifty Pods to be left", within_s=60)
        assert "first" in tasks_of_pods(scene), "the failed one is the last to go"
        # It never had the finalizer as far as this process knows, so it may stay for a minute more.
        scene.until(lambda: not pods_of("earlier"), "the Pod to go", within_s=90)
        assert len(pods_of("many")) == 50


def test_nothing_is_lost_when_the_operator_is_killed_while_pods_go_at_once(scene, replica):
    def start() -> None:
        scene.start(
            task(
                "each",
                forEach={"count": 12},
                maxParallel=4,
                retry={"limit": 1},
                pod_exit_code="1,0",
                pod_run_for="200ms",
            ),
            task("last", dependsOn=["each"], pod_outputs='{"rows": 3}'),
            podRetention={"completed": "0s", "failed": "0s"},
        )

    for pods in (0, 3, 9, 18, 24):
        with replica() as operator:
            if not pods:
                start()
            scene.until(lambda pods=pods: len(scene.pods(ever=True)) >= pods, f"{pods} Pods")
            operator.kill()
    with replica():
        assert scene.finish()["state"] == "Completed"
        assert scene.entry("each")["items"]["counts"] == {"Completed": 12}
        assert len(scene.ever_attempts()) == 25


def test_of_a_task_that_runs_as_a_job_the_job_goes(scene, operator, api):
    batch = kubernetes_client.BatchV1Api(api)
    policy = {"completed": "0s", "failed": "0s"}
    scene.start(task("first", workload="Job", retry={"limit": 1}, pod_exit_code="1,0", pod_outputs='{"rows": 3}'),
                task("last", args=["$(tasks.first.outputs.rows)"], workload="Job"), podRetention=policy)  # fmt: skip
    assert scene.finish()["state"] == "Completed"

    scene.until(lambda: not scene.pods(), "the Pods to go")
    assert batch.list_namespaced_job(scene.namespace).items == []
    assert (scene.entry("first")["attempt"], scene.entry("first")["outputs"]) == (2, {"rows": 3})
    operator.until_metric(3, "penstock_removals_total", kind="Job")
