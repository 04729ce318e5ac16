"""Control, clocks and the flow of control by the real operator, on a real API server with fake nodes."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client as kubernetes_client

from penstock.api import names
from tests.api.replica import Replica
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api


@pytest.fixture
def stage(scene: Scene, operator: Replica) -> Scene:
    """The test's namespace, with the operator at work."""
    return scene


def set_spec(scene: Scene, **fields: Any) -> None:
    """Do what a person does with `kubectl patch flowrun run --type merge`."""
    scene.patch("FlowRun", "run", {"spec": fields})


def ends(scene: Scene) -> dict[str, tuple[str, str | None]]:
    return {entry["name"]: (entry["state"], entry.get("reason")) for entry in scene.status()["tasks"]}


def attempted(scene: Scene) -> list[str]:
    """Return the tasks that ever had a Pod, one for each attempt."""
    return sorted(pod.metadata.labels[names.LABEL_TASK] for pod in scene.pods(ever=True))


# The flow of control


@pytest.mark.parametrize(
    ("tasks", "flow", "state", "want"),
    [
        pytest.param(
            [
                task("bad", pod_exit_code="1"),
                task("page", dependsOnStates=[{"task": "bad", "states": ["Failed"]}]),
                task("good"),
                task("after", dependsOn=["good"]),
            ],
            {},
            "Failed",
            {"bad": "Failed", "page": "Completed", "good": "Completed", "after": "Completed"},
            id="a failure that is waited for stops nothing",
        ),
        pytest.param(
            [task("bad", allowFailed=1, pod_exit_code="1"), task("after", dependsOn=["bad"]), task("good")],
            {},
            "Completed",
            {"bad": "Failed", "after": "Skipped", "good": "Completed"},
            id="a tolerated failure does not fail the run",
        ),
        pytest.param(
            [
                task("bad", pod_exit_code="1"),
                task("slow", pod_run_for="300ms"),
                task("after", dependsOn=["slow"]),
            ],
            {"failurePolicy": "Continue"},
            "Failed",
            {"bad": "Failed", "slow": "Completed", "after": "Completed"},
            id="with Continue the other branch runs to its end",
        ),
        pytest.param(
            [
                task("bad", pod_exit_code="1"),
                task("slow", pod_run_for="500ms"),
                task("after", dependsOn=["slow"]),
            ],
            {},
            "Failed",
            {"bad": "Failed", "slow": "Completed", "after": "Skipped"},
            id="with Stop what runs continues and nothing new starts",
        ),
        pytest.param(
            [
                task("each", forEach={"count": 4}, allowFailed="25%", pod_exit_code="0"),
                task("after", dependsOn=["each"]),
            ],
            {},
            "Completed",
            {"each": "Completed", "after": "Completed"},
            id="a fan-out within its tolerance",
        ),
        pytest.param(
            [
                task("maybe", when="false"),
                task("order", dependsOn=["maybe"]),
                task("outputs", args=["$(tasks.maybe.outputs.x)"]),
                task("either", dependsOnStates=[{"task": "maybe", "states": ["Completed", "Skipped"]}]),
            ],
            {},
            "Completed",
            {"maybe": "Skipped", "order": "Skipped", "outputs": "Skipped", "either": "Completed"},
            id="what follows a task whose condition is false is skipped, unless it asks for that",
        ),
    ],
)
def test_what_follows_from_how_a_task_ended(stage, tasks, flow, state, want):
    stage.start(*tasks, **flow)

    assert stage.finish()["state"] == state
    assert {name: end for name, (end, _) in ends(stage).items()} == want


def test_finally_tasks_run_after_a_failure_and_see_how_it_went(stage):
    stage.start(
        task("bad", pod_exit_code="1"),
        task("next", dependsOn=["bad"]),
        **{"finally": [task("clean", args=["$(run.state)", "$(tasks.bad.state)", "$(tasks.next.reason)"])]},
    )

    assert stage.finish()["state"] == "Failed"
    assert stage.pod("clean").spec["containers"][0]["args"] == ["Failed", "Failed", "UpstreamFailed"]
    assert ends(stage)["clean"] == ("Completed", None)


def test_finally_runs_after_the_runs_timeout_under_its_own_clock(stage):
    stage.start(
        task("slow", pod_outcome="run"),
        timeout="3s",
        finallyTimeout="4s",
        **{"finally": [task("clean", pod_outcome="run")]},
    )

    assert stage.finish()["state"] == "TimedOut"
    assert ends(stage) == {"slow": ("Cancelled", "RunTimedOut"), "clean": ("Cancelled", "FinallyTimedOut")}


# Shutdown


@pytest.mark.parametrize(
    ("mode", "want"),
    [
        pytest.param(
            "Drain",
            {
                "done": ("Completed", None),
                "slow": ("Completed", None),
                "last": ("Skipped", "RunDrained"),
                "clean": ("Completed", None),
            },
            id="Drain lets what runs end, then finally",
        ),
        pytest.param(
            "Cancel",
            {
                "done": ("Completed", None),
                "slow": ("Cancelled", "RunCancelled"),
                "last": ("Skipped", "UpstreamFailed"),
                "clean": ("Completed", None),
            },
            id="Cancel stops what runs, then finally",
        ),
        pytest.param(
            "Terminate",
            {
                "done": ("Completed", None),
                "slow": ("Cancelled", "RunTerminated"),
                "last": ("Skipped", "UpstreamFailed"),
                "clean": ("Skipped", "RunTerminated"),
            },
            id="Terminate stops everything",
        ),
    ],
)
def test_a_run_is_ended_early(stage, mode, want):
    is_drain = mode == "Drain"
    slow = task("slow", dependsOn=["done"], **({"pod_run_for": "2s"} if is_drain else {"pod_outcome": "run"}))
    stage.start(task("done"), slow, task("last", dependsOn=["slow"]), **{"finally": [task("clean")]})
    stage.running_pod("slow")
    set_spec(stage, shutdown=mode)

    status = stage.finish()

    assert ends(stage) == want
    assert (status["state"], status["shutdown"]["mode"]) == ("Cancelled", mode)
    assert attempted(stage).count("slow") == 1


def test_a_terminated_run_stops_the_finally_task_that_runs(stage):
    stage.start(task("done"), **{"finally": [task("clean", pod_outcome="run")]})
    stage.running_pod("clean")
    set_spec(stage, shutdown="Terminate")

    assert stage.finish()["state"] == "Cancelled"
    assert ends(stage)["clean"] == ("Cancelled", "RunTerminated")


def test_a_run_that_is_cancelled_while_a_quota_holds_it_ends_at_once(stage):
    quota = kubernetes_client.V1ResourceQuota(
        metadata=kubernetes_client.V1ObjectMeta(name="none"),
        spec=kubernetes_client.V1ResourceQuotaSpec(hard={"pods": "0"}),
    )
    stage.core.create_namespaced_resource_quota(stage.namespace, quota)
    stage.start(task())
    stage.reach_task("Queued")
    set_spec(stage, shutdown="Cancel")

    assert stage.finish()["state"] == "Cancelled"
    assert stage.pods(ever=True) == []


# Suspension and approvals


def test_a_suspended_run_starts_nothing_new_until_it_is_resumed(stage):
    stage.start(task("first", pod_run_for="500ms"), task("second", dependsOn=["first"]))
    stage.running_pod("first")
    set_spec(stage, suspend=True)
    paused = stage.reach("Paused")
    before = attempted(stage)
    set_spec(stage, suspend=False)

    assert stage.finish()["state"] == "Completed"
    assert (paused["reason"], before) == ("Suspended", ["first"])
    assert stage.status()["pausedMilliseconds"] > 0


def test_an_approval_pauses_the_run_and_a_patch_resumes_it(stage):
    stage.start(
        {"name": "sign-off", "approval": {"message": "Publish $(run.name)?"}},
        task("publish", args=["$(tasks.sign-off.outputs.comment)"]),
    )
    paused = stage.reach("Paused")
    event = stage.event("ApprovalRequested", "run")
    set_spec(stage, approvals=[{"task": "sign-off", "decision": "Approve", "comment": "go"}])

    assert stage.finish()["state"] == "Completed"
    assert paused["reason"] == "AwaitingApproval"
    assert event.message == "task sign-off is waiting for approval: Publish run?"
    assert stage.pod("publish").spec["containers"][0]["args"] == ["go"]
    assert attempted(stage) == ["publish"]


@pytest.mark.parametrize(
    ("approval", "decide", "want"),
    [
        pytest.param({}, "Reject", ("Failed", "Rejected"), id="rejected"),
        pytest.param({"timeout": "1s"}, None, ("TimedOut", "ApprovalTimeout"), id="no decision"),
    ],
)
def test_an_approval_that_is_not_given_fails_the_run(stage, approval, decide, want):
    stage.start({"name": "sign-off", "approval": approval}, task("publish", dependsOn=["sign-off"]))
    stage.reach_task("Paused", "sign-off")
    if decide:
        set_spec(stage, approvals=[{"task": "sign-off", "decision": decide, "comment": "not today"}])

    assert stage.finish()["state"] == "Failed"
    assert ends(stage) == {"sign-off": want, "publish": ("Skipped", "UpstreamFailed")}


# Clocks and retries


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param({"pod_waiting_reason": "ImagePullBackOff"}, "ImagePullFailed", id="an image that is not there"),
        pytest.param({}, "QueueTimeout", id="without a reported cause"),
    ],
)
def test_a_pod_that_never_starts_is_given_up_after_the_queue_timeout(stage, behaviour, reason):
    stage.start(task(queueTimeout="1s", pod_outcome="pend", **behaviour))

    assert stage.finish()["state"] == "Failed"
    assert ends(stage)["main"] == ("TimedOut", reason)
    assert stage.entry()["message"].startswith("not started within queueTimeout")


def test_a_task_that_a_quota_holds_is_given_up_after_the_queue_timeout(stage):
    quota = kubernetes_client.V1ResourceQuota(
        metadata=kubernetes_client.V1ObjectMeta(name="none"),
        spec=kubernetes_client.V1ResourceQuotaSpec(hard={"pods": "0"}),
    )
    stage.core.create_namespaced_resource_quota(stage.namespace, quota)
    stage.start(task(queueTimeout="2s"))

    assert stage.finish()["state"] == "Failed"
    assert ends(stage)["main"] == ("TimedOut", "QuotaExceeded")
    assert stage.pods(ever=True) == []


def test_a_deadline_ends_a_task_whatever_is_left_of_its_retries(stage):
    stage.start(task(deadline="2s", retry={"limit": 1000, "delay": "200ms"}, pod_exit_code="1"))

    assert stage.finish()["state"] == "Failed"
    assert ends(stage)["main"] == ("TimedOut", "TaskDeadlineExceeded")


@pytest.mark.parametrize(
    ("retry", "attempts"),
    [
        pytest.param({"limit": 5, "when": "failure.exitCode > 3"}, 1, id="retry.when is false"),
        pytest.param({"limit": 2, "when": "failure.exitCode == 3"}, 3, id="retry.when is true"),
        pytest.param({"limit": 5, "nonRetryableExitCodes": [3]}, 1, id="an exit code that is final"),
    ],
)
def test_a_failure_can_be_final_though_budget_is_left(stage, retry, attempts):
    stage.start(task(retry=retry, pod_exit_code="3"))

    assert stage.finish()["state"] == "Failed"
    assert stage.entry()["attempt"] == attempts
    assert len(stage.ever_attempts()) == attempts


def test_progressively_later_timeouts_each_end_their_task(stage):
    tasks = [task(f"t{n}", timeout=f"{n}s", pod_outcome="run") for n in (1, 2)]
    stage.start(*tasks, failurePolicy="Continue")

    assert stage.finish()["state"] == "Failed"
    assert set(ends(stage).values()) == {("TimedOut", "DeadlineExceeded")}


# How Pods are stopped


def test_an_attempt_that_is_cancelled_or_takes_too_long_leaves_its_pod_as_it_ended(stage):
    scene = stage
    scene.start(
        task("late", timeout="1s", retry={"limit": 1}, pod_outcome="run"),
        task("good", timeout="1s", pod_outcome="run", pod_stop_exit_code="0"),
        task("long", pod_run_for="1h"),
        failurePolicy="Continue",
    )
    scene.reach_task("TimedOut", "late")
    scene.reach_task("TimedOut", "good")
    set_spec(scene, shutdown="Cancel")

    assert scene.finish()["reason"] == "RunCancelled"
    assert ends(scene) == {
        "late": ("TimedOut", "DeadlineExceeded"),
        "good": ("TimedOut", "DeadlineExceeded"),
        "long": ("Cancelled", "RunCancelled"),
    }
    assert (scene.entry("late")["exitCode"], scene.entry("good")["exitCode"]) == (143, 0)
    scene.until(lambda: not scene.held_pods(), "the finalizers to be removed")
    assert attempted(scene) == ["good", "late", "late", "long"]
    assert len(scene.pods()) == 4
    assert {(pod.status["phase"], pod.status["reason"]) for pod in scene.pods()} == {("Failed", "DeadlineExceeded")}


def test_a_pod_whose_kubelet_does_not_end_it_is_deleted(stage):
    scene = stage
    scene.start(task(pod_outcome="run", pod_deadline="ignore"))
    pod = scene.running_pod()
    set_spec(scene, shutdown="Cancel")
    stop_time = "penstock.dev/stop-time"
    scene.until(lambda: stop_time in scene.pod().metadata.annotations, "the Pod to be asked to end")
    assert scene.status()["state"] == "Running"

    # A minute has passed since.
    earlier = {"metadata": {"annotations": {stop_time: "2026-11-22T12:00:00Z"}}}
    scene.core.patch_namespaced_pod(pod.metadata.name, scene.namespace, earlier)

    assert scene.finish()["reason"] == "RunCancelled"
    scene.until(lambda: not scene.pods(), "the Pod to be gone")


@pytest.mark.parametrize("is_ending", [False, True], ids=["at once", "while it is being cancelled"])
def test_terminate_deletes_pods(stage, is_ending):
    scene = stage
    scene.start(task(pod_outcome="run", pod_deadline="ignore"))
    scene.running_pod()
    if is_ending:
        set_spec(scene, shutdown="Cancel")
        scene.until(lambda: scene.pod().spec.get("activeDeadlineSeconds") == 1, "the Pod to be asked to end")

    set_spec(scene, shutdown="Terminate")

    assert scene.finish()["state"] == "Cancelled"
    scene.until(lambda: not scene.pods(), "the Pod to be gone")
