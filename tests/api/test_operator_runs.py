"""Runs by the real operator, as a process, on a real API server whose Pods do what their annotations say."""

from __future__ import annotations

import json
import uuid

import pytest
from kubernetes import client as kubernetes_client

from penstock.api import names
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.names import pod_name
from tests.api.replica import Replica
from tests.api.scene import AttemptKey, Scene, fake, task

pytestmark = pytest.mark.api

CREATED_IN_TIME_S = 400.0


@pytest.fixture
def scene(scene: Scene, operator: Replica) -> Scene:
    """The test's namespace, with the operator at work."""
    return scene


def attempts(*numbers: int, name: str = "main") -> list[AttemptKey]:
    return [AttemptKey("run", name, "", str(number)) for number in numbers]


# What tasks do


def test_a_run_completes_with_the_outputs_of_its_tasks(scene):
    scene.start(
        task("first", pod_outputs='{"rows": 3}'),
        task("second", args=["--rows", "$(tasks.first.outputs.rows)"]),
        outputs={"rows": "$(tasks.first.outputs.rows)"},
    )

    status = scene.finish()

    assert (status["state"], status["progress"], status["outputs"]) == ("Completed", "2/2", {"rows": 3})
    assert {kind["type"]: kind["status"] for kind in status["conditions"]} == {"Succeeded": "True", "Finished": "True"}
    assert scene.pod("second").spec["containers"][0]["args"] == ["--rows", "3"]


def test_a_task_that_fails_is_tried_again_to_its_limit(scene):
    scene.start(task(retry={"limit": 2}, pod_exit_code="1"))

    status = scene.finish()

    assert status["state"] == "Failed"
    entry = scene.entry()
    assert (entry["state"], entry["reason"], entry["exitCode"], entry["attempt"], entry["failures"]) == (
        "Failed", "ExitCode", 1, 3, 3,
    )  # fmt: skip
    assert [attempt["exitCode"] for attempt in entry["attempts"]] == [1, 1]
    assert scene.ever_attempts() == attempts(1, 2, 3)


def test_a_task_that_fails_twice_and_then_succeeds_completes(scene):
    scene.start(task(retry={"limit": 3}, pod_exit_code="1,1,0"))

    assert scene.finish()["state"] == "Completed"
    assert scene.entry()["attempt"] == 3
    assert scene.ever_attempts() == attempts(1, 2, 3)


def test_without_a_retry_a_failure_is_final(scene):
    scene.start(task(pod_exit_code="1"))

    status = scene.finish()

    assert (status["state"], status["reason"], status["progress"]) == ("Failed", "TaskFailed", "1/1")
    assert scene.ever_attempts() == attempts(1)


def test_what_depends_on_a_failed_task_is_skipped(scene):
    scene.start(task("bad", pod_exit_code="3"), task("next", dependsOn=["bad"]), task("last", dependsOn=["next"]))

    assert scene.finish()["state"] == "Failed"
    assert [(scene.entry(name)["state"], scene.entry(name)["reason"]) for name in ("next", "last")] == [
        ("Skipped", "UpstreamFailed"),
        ("Skipped", "UpstreamSkipped"),
    ]
    assert scene.ever_attempts() == attempts(1, name="bad")


@pytest.mark.parametrize(
    ("behaviour", "want"),
    [
        pytest.param({"pod_pod_reason": "Evicted", "pod_exit_code": "137"}, "Evicted", id="evicted by its kubelet"),
        pytest.param(
            {"pod_disruption": "TerminationByKubelet", "pod_exit_code": "137"}, "Evicted", id="its node shuts down"
        ),
        pytest.param({"pod_disruption": "PreemptionByScheduler", "pod_exit_code": "143"}, "Preempted", id="preempted"),
        pytest.param({"pod_disruption": "DeletionByTaintManager", "pod_exit_code": "143"}, "NodeLost", id="tainted"),
        pytest.param({"pod_disruption": "EvictionByEvictionAPI", "pod_exit_code": "143"}, "Evicted", id="drained"),
        pytest.param({"pod_disruption": "DeletionByPodGC", "pod_exit_code": "143"}, "NodeLost", id="its node is gone"),
    ],
)
def test_a_disruption_costs_nothing_of_the_limit_and_its_own_budget_ends_as_a_crash(scene, behaviour, want):
    scene.start(task(retry={"limit": 0, "infrastructure": 1}, **behaviour))

    assert scene.finish()["state"] == "Crashed"
    entry = scene.entry()
    assert (entry["state"], entry["reason"], entry["disruptions"], entry.get("failures", 0)) == ("Crashed", want, 2, 0)
    assert scene.ever_attempts() == attempts(1, 2)


def test_an_evicted_pod_is_replaced_and_the_run_completes(scene):
    scene.start(task(pod_pod_reason="Evicted", pod_exit_code="137,0"))

    assert scene.finish()["state"] == "Completed"
    entry = scene.entry()
    assert (entry["attempt"], entry["disruptions"], entry.get("failures", 0)) == (2, 1, 0)


@pytest.mark.parametrize("exit_code", ["0", "137"])
def test_out_of_memory_fails_the_task_whatever_its_exit_code(scene, exit_code):
    scene.start(task(pod_exit_code=exit_code, pod_reason="OOMKilled"))

    assert scene.finish()["state"] == "Failed"
    entry = scene.entry()
    assert (entry["state"], entry["reason"], entry["exitCode"]) == ("Failed", "OOMKilled", int(exit_code))


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        pytest.param("done", "not valid JSON", id="text"),
        pytest.param("[1]", "not a JSON object", id="a list"),
        pytest.param(json.dumps({"text": "x" * 4084}), "4096 bytes", id="4096 bytes"),
    ],
)
def test_outputs_that_are_not_an_object_or_too_long_fail_the_task_and_say_so(scene, outputs, said):
    scene.start(task(pod_outputs=outputs))

    assert scene.finish()["state"] == "Failed"
    assert scene.entry()["reason"] == "InvalidOutputs"
    assert said in scene.entry()["message"]


def test_a_pod_whose_image_cannot_be_pulled_waits_with_that_reason(scene):
    scene.start(task(pod_outcome="pend", pod_waiting_reason="ImagePullBackOff"))

    scene.until(lambda: scene.entry().get("reason") == "ImagePullFailed", "the reason to be shown")
    assert scene.entry()["state"] == "Pending"
    assert "ImagePullBackOff" in scene.entry()["message"]


def test_a_pod_that_fits_no_node_waits_with_that_reason(scene):
    template = {"spec": {"nodeSelector": {"disk": "nowhere"}}}
    scene.start(task(podTemplate=template))

    scene.until(lambda: scene.entry().get("reason") == "Unschedulable", "the reason to be shown")
    assert scene.entry()["state"] == "Pending"
    assert scene.entry()["message"]


def test_a_pod_that_is_deleted_while_it_waits_for_a_node_is_replaced(scene):
    scene.start(task(resources={"requests": {"memory": "100000Gi"}}))
    first = scene.pod()
    scene.until(lambda: scene.entry().get("reason") == "Unschedulable", "the Pod to be seen waiting")

    scene.delete_pod(first)

    second = scene.pod(attempt=2)
    assert second.metadata.uid != first.metadata.uid
    assert scene.status()["state"] in ("Pending", "Running")
    assert scene.entry().get("failures", 0) == 0


def test_a_pod_that_is_deleted_while_it_runs_is_replaced_after_it_has_ended(scene):
    template = fake(outcome="run", stop_after="500ms")
    scene.start(task(podTemplate=template))
    first = scene.running_pod()

    scene.delete_pod(first)
    second = scene.running_pod(attempt=2)

    assert scene.ever["pods"][first.metadata.uid].status["phase"] == "Failed"
    assert second.metadata.creation_timestamp >= first.metadata.creation_timestamp
    scene.until(lambda: scene.entry().get("disruptions") == 1, "the disruption to be counted")
    assert scene.entry()["attempts"][0]["reason"] == "PodDeleted"


def test_a_pod_that_is_evicted_by_the_eviction_api_is_replaced(scene):
    scene.start(task(pod_outcome="run"))
    first = scene.running_pod()

    eviction = kubernetes_client.V1Eviction(metadata=kubernetes_client.V1ObjectMeta(name=first.metadata.name))
    scene.core.create_namespaced_pod_eviction(first.metadata.name, scene.namespace, eviction)

    scene.running_pod(attempt=2)
    scene.until(lambda: scene.entry().get("disruptions") == 1, "the disruption to be counted")
    assert scene.entry()["attempts"][0]["reason"] == "Evicted"


def test_a_task_continues_elsewhere_when_its_node_is_removed(scene, api):
    # A node that no other test uses, so that no other test loses its Pods.
    node = f"doomed-{uuid.uuid4().hex[:8]}"
    labels = {"kubernetes.io/hostname": node, "type": "kwok"}
    scene.core.create_node({"metadata": {"name": node, "labels": labels}})
    template = fake(outcome="run") | {"spec": {"nodeSelector": {"kubernetes.io/hostname": node}}}
    scene.start(task(podTemplate=template))
    first = scene.running_pod()

    scene.core.delete_node(node)
    # The garbage collector of Pods does this within a minute.
    lost = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": "the node is gone"}
    status = {"phase": "Failed", "conditions": [lost]}
    scene.core.patch_namespaced_pod_status(first.metadata.name, scene.namespace, {"status": status})
    scene.delete_pod(first, grace_period_seconds=0)

    scene.pod(attempt=2)
    scene.until(lambda: scene.entry().get("disruptions") == 1, "the disruption to be counted")
    assert scene.entry()["attempts"][0]["reason"] == "NodeLost"


def test_a_pod_removed_together_with_its_finalizer_is_a_disruption(scene):
    scene.start(task(pod_outcome="run"))
    first = scene.running_pod()

    scene.core.delete_namespaced_pod(first.metadata.name, scene.namespace, grace_period_seconds=0)
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": [names.FINALIZER]}}
    scene.core.patch_namespaced_pod(
        first.metadata.name, scene.namespace, patch, _content_type="application/strategic-merge-patch+json"
    )

    scene.running_pod(attempt=2)
    scene.until(lambda: scene.entry().get("disruptions") == 1, "the disruption to be counted")
    assert scene.entry()["attempts"][0]["reason"] == "PodDeleted"


# Quotas and refusals


def test_a_task_waits_for_the_quota_and_then_runs_without_having_cost_an_attempt(scene):
    scene.core.create_namespaced_resource_quota(
        scene.namespace, {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": "1"}}}
    )
    scene.start(task("a", pod_run_for="4s"), task("b", pod_run_for="4s"))

    scene.until(lambda: "Queued" in {scene.entry("a").get("state"), scene.entry("b").get("state")}, "one to be Queued")
    queued = "a" if scene.entry("a")["state"] == "Queued" else "b"
    assert scene.entry(queued)["reason"] == "QuotaExceeded"

    assert scene.finish()["state"] == "Completed"
    assert [(scene.entry(name)["attempt"], scene.entry(name).get("failures", 0)) for name in "ab"] == [(1, 0), (1, 0)]


def test_a_task_that_fits_into_the_quota_does_not_wait_for_one_that_does_not(scene):
    scene.core.create_namespaced_resource_quota(
        scene.namespace, {"metadata": {"name": "cpu"}, "spec": {"hard": {"requests.cpu": "1"}}}
    )
    small = {"resources": {"requests": {"cpu": "100m"}}}
    scene.start(task("big", resources={"requests": {"cpu": "2"}}), task("small", **small), name="mixed")
    scene.until(lambda: scene.entry("big", "mixed").get("reason") == "QuotaExceeded", "the large Pod to be refused")

    scene.start(task("first", **small), task("last", dependsOn=["first"], **small), name="other")

    assert scene.finish("other")["state"] == "Completed"
    assert scene.reach_task("Completed", "small", "mixed")
    assert scene.entry("big", "mixed")["reason"] == "QuotaExceeded"


def test_tasks_beyond_a_memory_quota_run_when_it_is_removed(scene):
    scene.core.create_namespaced_resource_quota(
        scene.namespace, {"metadata": {"name": "memory"}, "spec": {"hard": {"requests.memory": "1Mi"}}}
    )
    big = {"requests": {"memory": "1Gi"}}
    scene.start(task("a", resources=big, retry={"limit": 1}), task("b", resources=big))
    scene.reach_task("Queued", "a")
    scene.reach_task("Queued", "b")

    scene.core.delete_namespaced_resource_quota("memory", scene.namespace)

    assert scene.finish()["state"] == "Completed"
    assert scene.ever_attempts() == [*attempts(1, name="a"), *attempts(1, name="b")]


def test_a_run_times_out_while_a_quota_holds_its_only_task(scene):
    scene.core.create_namespaced_resource_quota(
        scene.namespace, {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": "0"}}}
    )
    scene.start(task(), timeout="2s")

    assert scene.reach("TimedOut")["reason"] == "RunTimedOut"
    assert scene.ever_attempts() == []


def test_a_pod_that_the_api_server_refuses_fails_the_task_with_its_words(scene):
    scene.start(task(podTemplate={"spec": {"priorityClassName": "no-such-class"}}))

    assert scene.finish()["state"] == "Failed"
    assert scene.entry()["reason"] == "CreateRefused"
    assert "no-such-class" in scene.entry()["message"]


def test_a_foreign_pod_in_the_way_fails_that_task_and_is_reported(scene):
    # The name is only known once the run has a uid, so the task waits for one before it.
    run = scene.start(task("first", pod_run_for="1s"), task(dependsOn=["first"]))
    name = pod_name("run", run["metadata"]["uid"], TaskInstanceKey("main"), 1)
    body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": "busybox"}]}}
    scene.core.create_namespaced_pod(scene.namespace, body)

    assert scene.finish()["state"] == "Failed"
    assert scene.entry()["reason"] == "CreateRefused"
    assert name in scene.entry()["message"]
    assert scene.now["pods"][name].metadata.deletion_timestamp is None


# Time


def test_an_attempt_that_takes_too_long_is_stopped_and_counts_as_a_failure(scene):
    scene.start(task(timeout="1s", retry={"limit": 1}, pod_outcome="run"))

    assert scene.finish()["state"] == "Failed"
    entry = scene.entry()
    assert (entry["state"], entry["reason"], entry["attempt"], entry["failures"]) == (
        "TimedOut", "DeadlineExceeded", 2, 2,
    )  # fmt: skip
    assert scene.ever_attempts() == attempts(1, 2)


def test_a_run_that_takes_too_long_stops_what_runs_and_keeps_what_is_done(scene):
    scene.start(
        task("done"),
        task("runs", pod_outcome="run"),
        task("waits", pod_outcome="pend"),
        task("never", dependsOn=["runs"]),
        timeout="2s",
    )

    assert scene.finish()["state"] == "TimedOut"
    assert [scene.entry(name)["state"] for name in ("done", "runs", "waits", "never")] == [
        "Completed", "Cancelled", "Cancelled", "Skipped",
    ]  # fmt: skip
    scene.until(lambda: len(scene.pods()) == 2, "the Pod that never started to be gone")
    stopped = scene.pod("runs")
    assert (stopped.status["phase"], stopped.status["reason"]) == ("Failed", "DeadlineExceeded")


# Fan-outs


def test_a_fan_out_never_has_more_pods_than_it_may(scene):
    scene.start(task(forEach={"count": 12}, maxParallel=3, pod_run_for="100ms"))
    most = 0

    def watch() -> bool:
        nonlocal most
        most = max(most, sum(pod.status.get("phase") in ("Pending", "Running") for pod in scene.pods()))
        return bool(scene.status().get("state") == "Completed")

    scene.until(watch, "the run to complete")
    assert 1 <= most <= 3
    assert scene.entry()["items"]["counts"] == {"Completed": 12}


def test_the_outputs_of_items_are_gathered_in_their_order_through_retries(scene):
    scene.start(
        task("each", forEach={"items": ["a", "b", "c"]}, retry={"limit": 1}, pod_exit_code="1,0", pod_outputs="{}"),
        task("after", args=["$(tasks.each.outputs)"]),
    )

    assert scene.finish()["state"] == "Completed"
    assert scene.entry("each")["outputs"] == [{}, {}, {}]
    assert scene.pod("after").spec["containers"][0]["args"] == ["[{},{},{}]"]


def test_a_fan_out_over_nothing_is_skipped_and_the_run_completes(scene):
    scene.start(task(forEach={"items": []}))

    assert scene.finish()["state"] == "Completed"
    assert (scene.entry()["state"], scene.entry()["reason"]) == ("Skipped", "NoItems")


# Interference


def test_deleting_a_run_half_way_leaves_no_pods(scene):
    scene.start(task("done"), task("main", forEach={"count": 5}, pod_outcome="run"))
    scene.until(lambda: sum(pod.status.get("phase") == "Running" for pod in scene.pods()) == 5, "five Pods to run")

    scene.delete("FlowRun", "run")

    scene.until(lambda: not scene.pods() and not scene.now["flowruns"], "the run and its Pods to be gone")


def test_a_run_of_the_same_name_starts_afresh_after_the_first_was_deleted(scene):
    first = scene.start(task(pod_outcome="run"))
    scene.running_pod()
    scene.delete("FlowRun", "run")
    second = scene.start(task())

    status = scene.until(
        lambda: scene.now["flowruns"].get("run") and scene.status().get("state") == "Completed" and scene.status(),
        "the second run to complete",
    )
    assert status["progress"] == "1/1"
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    scene.until(lambda: not scene.held_pods(), "the finalizers of all Pods to be removed")


def test_a_label_on_a_run_that_has_just_been_made_is_harmless(scene):
    for number in range(10):
        name = f"run-{number}"
        scene.start(task(), name=name)
        scene.patch("FlowRun", name, {"metadata": {"labels": {"team": "data"}}})

    for number in range(10):
        assert scene.finish(f"run-{number}")["state"] == "Completed"
        assert scene.run(f"run-{number}").metadata.labels["team"] == "data"


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"status": None}, id="all of it"),
        pytest.param({"status": {"tasks": []}}, id="its tasks"),
        pytest.param({"status": {"epoch": 1}}, id="its epoch"),
    ],
)
def test_a_status_that_a_person_edits_is_picked_up_from_there(scene, edit):
    scene.start(task("done"), task("main", pod_outcome="run"))
    scene.reach_task("Completed", "done")
    scene.reach_task("Running")

    scene.patch("FlowRun", "run", edit, is_status=True)
    scene.delete_pod(scene.pod())

    scene.running_pod(attempt=2)
    scene.until(lambda: scene.entry().get("disruptions") == 1, "the run to continue")
    scene.reach_task("Completed", "done")
    scene.until(
        lambda: scene.held_pods() == [scene.pod(attempt=2).metadata.name], "the finalizers of ended Pods to be removed"
    )
    assert scene.ever_attempts() == [*attempts(1, name="done"), *attempts(1, 2)]


def test_a_status_that_a_person_makes_unreadable_fails_the_run_with_that_reason(scene):
    scene.start(task("done"), task("main", pod_outcome="run"))
    scene.reach_task("Completed", "done")
    scene.reach_task("Running")

    scene.patch("FlowRun", "run", {"status": {"tasks": [{"name": "other", "state": "Running"}]}}, is_status=True)
    scene.delete_pod(scene.pod())

    status = scene.finish()
    assert (status["state"], status["reason"]) == ("Failed", "InvalidStatus")


# Flows


def test_a_run_waits_for_a_flow_that_does_not_exist_yet(scene):
    scene.start_of("later")
    status = scene.reach("Pending")
    assert status["reason"] == "FlowNotFound"
    assert "later" in status["message"]
    event = scene.event("FlowNotFound", "run")
    assert (event.type, event.message) == ("Warning", status["message"])

    scene.create("Flow", "later", {"tasks": [task()]})

    assert scene.finish()["state"] == "Completed"
    assert "reason" not in scene.status()


def test_a_run_keeps_the_flow_that_it_began_with(scene):
    scene.create(
        "Flow", "flow", {"tasks": [task("first", pod_outcome="run", timeout="2s", retry={"limit": 1}), task()]}
    )
    scene.start_of("flow")
    scene.running_pod("first")

    scene.patch("Flow", "flow", {"spec": {"tasks": [task("other")]}})
    scene.start_of("flow", "next")
    scene.finish("next")
    scene.delete("Flow", "flow")

    assert [entry["name"] for entry in scene.finish()["tasks"]] == ["first", "main"]
    assert [entry["name"] for entry in scene.status("next")["tasks"]] == ["other"]
    assert scene.ever_attempts() == [*attempts(1, 2, name="first"), *attempts(1)]
    assert scene.status()["revision"] != scene.status("next")["revision"]


def test_an_invalid_flow_is_not_ready_with_the_reason(scene):
    scene.create("Flow", "flow", {"tasks": [task("a", dependsOn=["b"]), task("b", args=["$(param.day)"])]})

    def ready() -> dict:
        flow = scene.now["flows"].get("flow")
        return next(iter(flow.status.get("conditions", ())), {}) if flow is not None else {}

    scene.until(ready, "the Flow to be reconciled")
    assert (ready()["type"], ready()["status"]) == ("Ready", "False")
    assert "spec.tasks[1].args[0]" in ready()["message"]
    assert "params" in ready()["message"]
    assert scene.event("Invalid", "flow").type == "Warning"

    scene.start_of("flow")
    assert scene.finish()["reason"] == "InvalidSpec"

    scene.patch("Flow", "flow", {"spec": {"tasks": [task()]}})
    scene.until(lambda: ready().get("status") == "True", "the Flow to be ready")


def test_a_run_whose_params_do_not_fit_fails_with_their_path(scene):
    scene.create("Flow", "flow", {"params": [{"name": "day"}, {"name": "n", "type": "integer"}], "tasks": [task()]})
    scene.start_of("flow", params={"n": "many", "dya": "x"})

    status = scene.finish()

    assert (status["state"], status["reason"]) == ("Failed", "InvalidParams")
    for said in ("spec.params.n", "dya", "day"):
        assert said in status["message"]
    assert scene.ever_attempts() == []


def test_a_script_is_mounted_from_a_config_map_that_goes_with_its_run(scene):
    run = scene.start(task(script="echo $HOME"))

    status = scene.finish()

    pod = scene.pod()
    (volume,) = [volume for volume in pod.spec["volumes"] if "configMap" in volume]
    stored = scene.core.read_namespaced_config_map(volume["configMap"]["name"], scene.namespace)
    assert status["state"] == "Completed"
    assert stored.data[volume["configMap"]["items"][0]["key"]] == "#!/bin/sh\necho $HOME"
    assert [owner.uid for owner in stored.metadata.owner_references] == [run["metadata"]["uid"]]


# Size


def requests(operator: Replica, **labels: str) -> float:
    return operator.metric("penstock_api_requests_total", **labels)


def test_a_fan_out_of_a_thousand_costs_one_pod_each_and_few_writes_of_the_status(scene, operator):
    patches = requests(operator, verb="patch", resource="flowruns/status")
    creates = requests(operator, verb="create", resource="pods", code="201")
    scene.start(task(forEach={"count": 1000}))

    assert scene.finish(within_s=CREATED_IN_TIME_S)["state"] == "Completed"

    assert scene.entry()["items"]["indexes"] == {"Completed": "0-999"}
    assert len(scene.pods(ever=True)) == 1000
    assert requests(operator, verb="create", resource="pods", code="201") - creates == 1000
    assert requests(operator, verb="patch", resource="flowruns/status") - patches < 60


def test_a_run_of_two_thousand_tasks_costs_one_pod_each_and_few_writes_of_the_status(scene, operator):
    patches = requests(operator, verb="patch", resource="flowruns/status")
    tasks = [task(f"t{number}", dependsOn=[f"t{number - 1}"] if number % 20 else []) for number in range(2000)]
    scene.create("Flow", "flow", {"tasks": tasks})
    scene.start_of("flow")

    assert scene.finish(within_s=CREATED_IN_TIME_S)["state"] == "Completed"

    assert scene.status()["progress"] == "2000/2000"
    assert len(scene.pods(ever=True)) == 2000
    assert requests(operator, verb="patch", resource="flowruns/status") - patches < 60
