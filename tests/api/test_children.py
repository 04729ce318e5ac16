"""Flows that run flows: a task is a FlowRun of its own, and each is informed of the other immediately."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from kubernetes import watch

from penstock.api import names
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.names import pod_name
from penstock.engine.state import FINAL_RUN_STATES
from tests.api.scene import Scene, Seen, task

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("operator")]

FOREVER = {"pod_outcome": "run"}


def call(
    flow: str = "inner", name: str = "call", params: Mapping[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    """Return a task that runs a flow."""
    return {"name": name, "flow": {"name": flow} | ({"params": params} if params else {}), **fields}


def inner(scene: Scene, *tasks: Mapping[str, Any], name: str = "inner", **spec: Any) -> None:
    scene.create("Flow", name, {"tasks": list(tasks) or [task()], **spec})


def child(
    scene: Scene, task_name: str = "call", attempt: int = 1, parent: str = "run", item: int | None = None
) -> Seen:
    """Wait for the child run of an attempt."""
    scene.until(lambda: parent in scene.now["flowruns"], f"run {parent}")
    key = TaskInstanceKey(task_name, item)
    name = pod_name(parent, scene.run(parent).metadata.uid, key, attempt)
    scene.until(lambda: name in scene.now["flowruns"], f"the child run of attempt {attempt} of {task_name}")
    return scene.run(name)


def finished(scene: Scene, name: str = "run") -> Mapping[str, Any]:
    scene.until(lambda: scene.status(name).get("state") in FINAL_RUN_STATES, f"run {name} to finish")
    return scene.status(name)


# What a child is


def test_a_child_gets_params_and_its_outputs_are_those_of_the_task(scene):
    inner(
        scene,
        task("work", args=["$(params.day)"], pod_outputs='{"rows": 3}'),
        params=[{"name": "day"}, {"name": "mode", "default": "full"}],
        outputs={"rows": "$(tasks.work.outputs.rows)"},
    )
    scene.start(
        call(params={"day": "$(run.name)"}),
        task("after", args=["$(tasks.call.outputs.rows)"]),
        outputs={"total": "$(tasks.call.outputs.rows)"},
    )

    status = scene.finish()

    assert (status["state"], status["outputs"], status["progress"]) == ("Completed", {"total": 3}, "2/2")
    found = child(scene)
    entry = scene.entry("call")
    assert (entry["state"], entry["run"], entry["outputs"]) == ("Completed", found.metadata.name, {"rows": 3})
    assert "pod" not in entry
    assert found.status["params"] == {"day": "run", "mode": "full"}
    owner = found.metadata.owner_references[0]
    assert (owner.kind, owner.name, owner.controller) == ("FlowRun", "run", True)
    assert found.metadata.labels[names.LABEL_FLOW] == "inner"
    assert scene.pod("after").spec["containers"][0]["args"] == ["3"]


def test_a_fan_out_over_a_flow_has_a_child_for_each_item_and_never_more_than_it_may(scene):
    inner(scene, task("work", args=["$(params.n)"], pod_run_for="200ms"), params=[{"name": "n", "type": "integer"}])
    scene.start(call(params={"n": "$(item)"}, forEach={"items": [1, 2, 3, 4, 5]}, maxParallel=2))

    most = 0

    def has_finished() -> bool:
        nonlocal most
        active = [one for name, one in scene.now["flowruns"].items() if name != "run"]
        most = max(most, sum(one.status.get("state") not in FINAL_RUN_STATES for one in active))
        return bool(scene.status().get("state") == "Completed")

    scene.until(has_finished, "the run to complete")
    assert most <= 2
    assert scene.entry("call")["items"]["counts"] == {"Completed": 5}
    assert [child(scene, item=item).status["params"]["n"] for item in range(5)] == [1, 2, 3, 4, 5]


def test_a_child_that_fails_is_tried_again_as_another_run(scene):
    inner(scene, task("work", pod_exit_code="3"))
    scene.start(call(retry={"limit": 1}))

    assert scene.finish()["state"] == "Failed"
    entry = scene.entry("call")
    first, second = child(scene), child(scene, attempt=2)
    assert (entry["reason"], entry["attempt"], entry["failures"]) == ("ChildFailed", 2, 2)
    assert entry["message"].startswith(f"child run {second.metadata.name} is Failed: TaskFailed: ")
    assert first.metadata.uid != second.metadata.uid


def test_a_child_that_is_skipped_by_its_flow_has_not_been_done(scene):
    inner(scene, task(**FOREVER), concurrency={"limit": 1, "onLimit": "Skip"})
    scene.start_of("inner", "other")
    scene.reach("Running", "other")
    scene.start(call(retry={"limit": 2}), task("after", dependsOn=["call"]))

    status = finished(scene)
    assert (status["state"], status["reason"]) == ("Skipped", "ChildSkipped")
    assert child(scene).status["state"] == "Skipped"
    entry = scene.entry("call")
    assert (entry["state"], entry["reason"], entry["attempt"]) == ("Skipped", "ChildSkipped", 1)
    assert entry["message"].startswith(f"child run {child(scene).metadata.name} is Skipped: ConcurrencyLimit")
    assert (scene.entry("after")["state"], scene.entry("after")["reason"]) == ("Skipped", "UpstreamSkipped")


def test_a_child_waits_for_its_flow_and_its_parent_shows_that(scene):
    scene.start(call())
    scene.until(lambda: scene.entry("call").get("reason") == "FlowNotFound", "the parent to say why it waits")
    assert scene.entry("call")["state"] == "Pending"

    inner(scene)
    assert scene.finish()["state"] == "Completed"


def test_the_clock_of_the_parent_ends_a_child_that_waits_for_its_flow(scene):
    scene.start(call(queueTimeout="1s"))

    assert finished(scene)["state"] in {"TimedOut", "Failed"}
    assert scene.entry("call")["state"] == "TimedOut"
    status = finished(scene, child(scene).metadata.name)
    assert (status["state"], status["reason"]) == ("Cancelled", "ParentEnded")


def test_params_that_do_not_fit_fail_the_child_and_the_task_names_them(scene):
    inner(scene, params=[{"name": "n", "type": "integer"}])
    scene.start(call(params={"n": "many", "m": 1}))

    assert scene.finish()["state"] == "Failed"
    assert child(scene).status["reason"] == "InvalidParams"
    assert "spec.params.n" in scene.entry("call")["message"]
    assert "spec.params.m" in scene.entry("call")["message"]


# Its state


def test_a_child_that_is_queued_or_paused_shows_in_its_parent_at_once(scene):
    inner(scene, {"name": "ask", "approval": {}}, concurrency={"limit": 1})
    scene.start_of("inner", "other")
    scene.reach("Paused", "other")
    scene.start(call())

    entry = scene.reach_task("Queued", "call")
    assert entry["reason"] == "AdmissionQueue"
    assert "Flow inner allows 1 concurrent run; active: other" in entry["message"]

    scene.patch("FlowRun", "other", {"spec": {"shutdown": "Cancel"}})
    assert child(scene).metadata.name in scene.reach_task("Paused", "call")["message"]
    approvals = [{"task": "ask", "decision": "Approve"}]
    scene.patch("FlowRun", child(scene).metadata.name, {"spec": {"approvals": approvals}})
    assert scene.finish()["state"] == "Completed"


def test_a_child_of_the_same_flow_uses_its_parents_slot(scene):
    # No deadlock with nesting
    scene.create(
        "Flow",
        "countdown",
        {
            "params": [{"name": "n", "type": "integer"}],
            "tasks": [
                task("work"),
                call("countdown", "next", {"n": "$(params.n - 1)"}, when="params.n > 0"),
            ],
            "concurrency": {"limit": 1},
        },
    )
    scene.start_of("countdown", params={"n": 3})
    assert scene.finish(within_s=90)["state"] == "Completed"
    assert len(scene.now["flowruns"]) == 4


def test_flows_nested_too_deep_fail_and_show_the_chain(scene):
    scene.create("Flow", "endless", {"tasks": [call("endless", "again")]})
    scene.start_of("endless")

    status = scene.finish(within_s=90)

    assert status["state"] == "Failed"
    assert len(scene.now["flowruns"]) == 9
    messages = [
        entry["message"]
        for one in scene.now["flowruns"].values()
        for entry in one.status["tasks"]
        if entry.get("reason") == "TooDeep"
    ]
    assert messages == [f"flows are nested deeper than 8 levels: {' > '.join(['endless'] * 10)}"]


# Ends


@pytest.mark.parametrize(("mode", "want"), [("Cancel", {"tidy": "Completed"}), ("Terminate", {})])
def test_a_shutdown_of_the_parent_reaches_the_child(scene, mode, want):
    scene.create("Flow", "inner", {"tasks": [task("work", **FOREVER)], "finally": [task("tidy")]})
    scene.start(call(retry={"limit": 3}))
    name = child(scene).metadata.name
    scene.reach("Running", name)

    scene.patch("FlowRun", "run", {"spec": {"shutdown": mode}})

    assert scene.finish()["state"] == "Cancelled"
    status = finished(scene, name)
    assert (status["state"], status["shutdown"]["mode"], status["shutdown"]["reason"]) == (
        "Cancelled", mode, "ParentEnded",
    )  # fmt: skip
    assert {entry["name"]: entry["state"] for entry in status["tasks"] if entry["state"] == "Completed"} == want
    assert len([one for one in scene.now["flowruns"] if one != "run"]) == 1


def test_a_shutdown_that_gets_stronger_reaches_the_child_again(scene):
    tidy = task("tidy", **FOREVER)
    scene.create("Flow", "inner", {"tasks": [task("work", **FOREVER)], "finally": [tidy]})
    scene.start(call())
    name = child(scene).metadata.name
    scene.reach("Running", name)
    scene.patch("FlowRun", "run", {"spec": {"shutdown": "Cancel"}})
    scene.reach_task("Running", "tidy", name)
    scene.reach("Running")

    scene.patch("FlowRun", "run", {"spec": {"shutdown": "Terminate"}})

    assert scene.finish()["state"] == "Cancelled"
    assert finished(scene, name)["shutdown"]["mode"] == "Terminate"


def test_a_drain_of_the_parent_lets_the_child_run_to_its_end(scene):
    inner(scene, task("work", pod_run_for="1s"))
    scene.start(call(), task("after", dependsOn=["call"]))
    scene.running_pod("work")

    scene.patch("FlowRun", "run", {"spec": {"shutdown": "Drain"}})

    scene.finish()
    assert child(scene).status["state"] == "Completed"
    assert scene.entry("call")["state"] == "Completed"
    assert scene.entry("after")["state"] == "Skipped"


def test_a_child_that_takes_too_long_is_ended_by_its_parents_timeout(scene):
    inner(scene, task("work", **FOREVER))
    scene.start(call(timeout="1s"))

    scene.finish()
    assert (scene.entry("call")["state"], scene.entry("call")["reason"]) == ("TimedOut", "DeadlineExceeded")
    assert child(scene).status["state"] == "Cancelled"


def test_the_timeout_of_the_parent_ends_the_child(scene):
    inner(scene, task("work", **FOREVER))
    scene.start(call(), timeout="2s")

    assert scene.finish()["state"] == "TimedOut"
    assert child(scene).status["state"] == "Cancelled"


def test_a_child_that_is_queued_ends_at_once_with_its_parent(scene):
    inner(scene, task(**FOREVER), concurrency={"limit": 1})
    scene.start_of("inner", "other")
    scene.reach("Running", "other")
    scene.start(call())
    scene.reach_task("Queued", "call")

    scene.patch("FlowRun", "run", {"spec": {"shutdown": "Cancel"}})

    assert finished(scene)["state"] == "Cancelled"
    assert finished(scene, child(scene).metadata.name)["reason"] == "ParentEnded"


def test_deleting_the_parent_deletes_its_children_and_their_pods(scene):
    inner(scene, task("work", **FOREVER))
    inner(scene, call(), name="middle")
    scene.start(call("middle"))
    scene.running_pod("work")

    scene.delete("FlowRun", "run")

    scene.until(lambda: not scene.now["flowruns"] and not scene.pods(), "runs and Pods to be gone")


def test_a_child_that_a_person_deletes_fails_its_task(scene):
    inner(scene, task("work", **FOREVER))
    scene.start(call())
    name = child(scene).metadata.name
    scene.reach("Running", name)

    scene.delete("FlowRun", name)

    assert scene.finish()["state"] == "Failed"
    entry = scene.entry("call")
    assert (entry["reason"], entry["message"]) == ("ChildDeleted", f"the child run {name} was deleted")


def test_a_person_may_end_a_child_and_its_task_shows_how(scene):
    inner(scene, task("work", **FOREVER))
    scene.start(call(allowFailed=1))
    name = child(scene).metadata.name
    scene.reach("Running", name)

    scene.patch("FlowRun", name, {"spec": {"shutdown": "Cancel"}})

    assert scene.finish()["state"] == "Completed"
    assert scene.entry("call")["message"].startswith(f"child run {name} is Cancelled: RunCancelled")


def test_a_child_waits_for_a_quota_of_runs_and_costs_no_attempt(scene):
    inner(scene)
    counted = "count/flowruns.penstock.dev"
    scene.core.create_namespaced_resource_quota(
        scene.namespace, {"metadata": {"name": "runs"}, "spec": {"hard": {counted: "1"}}}
    )
    wait_for_quota(scene, counted)
    scene.start(call(retry={"limit": 0}))

    entry = scene.reach_task("Queued", "call")
    assert entry["reason"] == "QuotaExceeded"
    assert counted in entry["message"]
    scene.core.patch_namespaced_resource_quota("runs", scene.namespace, {"spec": {"hard": {counted: "2"}}})

    assert scene.finish()["state"] == "Completed"
    assert (scene.entry("call")["attempt"], scene.entry("call").get("failures", 0)) == (1, 0)


def wait_for_quota(scene: Scene, counted: str) -> None:
    """Wait until the API server counts."""
    stream = watch.Watch()
    for event in stream.stream(scene.core.list_namespaced_resource_quota, scene.namespace, timeout_seconds=30):
        if counted in (event["object"].status.hard or {}):
            stream.stop()
            return
    raise AssertionError("the quota was not taken over")


# Namesakes


def test_a_foreign_run_in_the_childs_place_fails_that_task_and_stays_as_it_is(scene):
    inner(scene)
    parent = scene.create("FlowRun", "run", {"flowSpec": {"tasks": [call()]}, "suspend": True})
    name = pod_name("run", parent["metadata"]["uid"], TaskInstanceKey("call"), 1)
    labels = {names.LABEL_PARENT: "run", names.LABEL_PARENT_UID: parent["metadata"]["uid"]}
    scene.create("FlowRun", name, {"flow": {"name": "inner"}, "suspend": True}, labels=labels)
    scene.patch("FlowRun", "run", {"spec": {"suspend": False}})

    assert finished(scene)["state"] == "Failed"
    assert (scene.entry("call")["reason"], scene.entry("call")["message"]) == (
        "CreateRefused", f"a FlowRun named {name} exists that is not a child of this run",
    )  # fmt: skip
    assert scene.reach("Paused", name)["reason"] == "Suspended"


def test_a_run_that_only_looks_like_a_child_is_not_a_child(scene):
    inner(scene, task("work", **FOREVER))
    scene.start(call())
    found = child(scene)
    scene.reach("Running", found.metadata.name)
    scene.reach("Running")
    labels = dict(found.metadata.labels)
    scene.create("FlowRun", "impostor", {"flow": {"name": "inner"}, "shutdown": "Cancel"}, labels=labels)

    assert finished(scene, "impostor")["state"] == "Cancelled"
    assert scene.status()["state"] == "Running"
    assert scene.entry("call")["run"] == found.metadata.name
