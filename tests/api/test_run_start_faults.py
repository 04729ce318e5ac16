"""The operator is killed while runs wait, take turns and run each other: no run starts twice, and no limit breaks."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.api import names
from penstock.engine.keys import TaskInstanceKey
from penstock.engine.names import pod_name
from penstock.engine.state import FINAL_RUN_STATES
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

FOREVER = {"pod_outcome": "run"}


def active_runs(scene: Scene) -> set[str]:
    """Return the runs that have a Pod that has not finished."""
    pods = [pod for pod in scene.pods() if pod.status.get("phase") not in {"Succeeded", "Failed"}]
    return {pod.metadata.labels[names.LABEL_RUN] for pod in pods}


def test_killed_repeatedly_it_never_runs_more_than_the_limit(scene, replica):
    tasks = [task("a", pod_run_for="400ms"), task("b", dependsOn=["a"], pod_run_for="400ms")]
    scene.create("Flow", "orders", {"tasks": tasks, "concurrency": {"limit": 2}})
    order = [f"r{number}" for number in range(8)]
    most = 0

    def have_finished(number: int) -> bool:
        nonlocal most
        most = max(most, len(active_runs(scene)))
        return len([name for name in order if scene.status(name).get("state") == "Completed"]) >= number

    for number in range(0, 8, 2):
        with replica() as operator:
            if not number:
                for name in order:
                    scene.start_of("orders", name)
            scene.until(lambda number=number: have_finished(number) and active_runs(scene), f"{number} runs to finish")
            operator.kill()
    with replica():
        scene.until(lambda: have_finished(8), "all runs to finish")

    assert most <= 2
    assert all(len(scene.ever_attempts(name)) == 2 for name in order)


def test_after_a_restart_queued_runs_are_queued_and_running_ones_run(scene, replica):
    scene.create("Flow", "orders", {"tasks": [task(**FOREVER)], "concurrency": {"limit": 1}})
    with replica() as operator:
        for name in "abc":
            scene.start_of("orders", name)
            scene.reach("Running" if name == "a" else "Queued", name)
        operator.kill()
    # A new run that no operator has seen waits behind those that were there before.
    scene.start_of("orders", "d")
    with replica():
        assert scene.reach("Queued", "d")["queuePosition"] == 3
        assert [scene.status(name)["state"] for name in "abc"] == ["Running", "Queued", "Queued"]
        scene.patch("FlowRun", "a", {"spec": {"shutdown": "Cancel"}})
        scene.reach("Running", "b")
    assert all(not scene.ever_attempts(name) for name in "cd")


def test_a_slot_that_becomes_free_while_no_operator_runs_goes_to_the_next(scene, replica):
    scene.create("Flow", "orders", {"tasks": [task(**FOREVER)], "concurrency": {"limit": 1}})
    with replica() as operator:
        for name in "ab":
            scene.start_of("orders", name)
            scene.reach("Running" if name == "a" else "Queued", name)
        operator.kill()
    scene.delete("FlowRun", "a")
    with replica():
        scene.reach("Running", "b")


def test_a_run_that_is_replaced_when_the_operator_dies_is_replaced_all_the_same(scene, replica):
    scene.create(
        "Flow",
        "orders",
        {"tasks": [task(pod_outcome="run", pod_stop_after="3s")], "concurrency": {"limit": 1, "onLimit": "Replace"}},
    )
    with replica() as operator:
        scene.start_of("orders", "a")
        scene.reach("Running", "a")
        scene.start_of("orders", "b")
        scene.until(lambda: "shutdown" in scene.status("a"), "a to be shut down")
        operator.kill()
    with replica():
        scene.reach("Running", "b")
    assert scene.status("a")["state"] == "Cancelled"


def test_runs_that_wait_for_their_time_or_a_person_still_do_after_a_restart(scene, replica):
    spec: dict[str, Any] = {"flowSpec": {"tasks": [task()]}}
    with replica() as operator:
        scene.create("FlowRun", "later", {**spec, "scheduledTime": "2100-01-01T00:00:00Z"})
        scene.create("FlowRun", "held", {**spec, "suspend": True})
        scene.reach("Scheduled", "later")
        scene.reach("Paused", "held")
        operator.kill()
    # Only the next operator sees this.
    scene.patch("FlowRun", "held", {"spec": {"suspend": False}})
    with replica():
        assert scene.reach("Completed", "held")["progress"] == "1/1"
        assert scene.status("later")["state"] == "Scheduled"


def test_a_retry_continues_after_a_restart_even_when_the_run_that_it_retries_is_deleted(scene, replica):
    scene.create("Flow", "etl", {"tasks": [task("a"), task("b", pod_exit_code="1", pod_run_for="1s")]})
    with replica() as operator:
        scene.start_of("etl", "first")
        scene.reach("Failed", "first")
        scene.create("FlowRun", "again", {"retryOf": {"name": "first"}})
        scene.reach("Running", "again")
        operator.kill()
    scene.delete("FlowRun", "first")
    with replica():
        status = scene.finish("again")
    assert (status["state"], status["retryOf"]["name"]) == ("Failed", "first")
    assert [attempt.task for attempt in scene.ever_attempts("again")] == ["b"]


@pytest.mark.parametrize("ends_meanwhile", [True, False], ids=["ends meanwhile", "continues"])
def test_a_child_that_the_parent_did_not_see_is_found_after_a_restart(scene, replica, ends_meanwhile):
    inner = task("work", pod_run_for="100ms" if ends_meanwhile else "4s", pod_outputs='{"x": 1}')
    scene.create("Flow", "inner", {"tasks": [inner], "outputs": {"x": "$(tasks.work.outputs.x)"}})
    call = {"name": "call", "flow": {"name": "inner"}}
    with replica() as operator:
        scene.start(call, outputs={"x": "$(tasks.call.outputs.x)"})
        scene.until(lambda: len(scene.now["flowruns"]) == 2 and scene.pods(), "the child to begin")
        operator.kill()
    if ends_meanwhile:
        scene.until(lambda: not active_runs(scene), "the child's Pod to end")
    with replica():
        status = scene.finish()
    assert (status["state"], status["outputs"]) == ("Completed", {"x": 1})
    assert len(scene.ever["flowruns"]) == 2


def test_a_child_that_is_deleted_while_no_operator_runs_fails_its_task(scene, replica):
    scene.create("Flow", "inner", {"tasks": [task(**FOREVER)]})
    with replica() as operator:
        scene.start({"name": "call", "flow": {"name": "inner"}})
        scene.until(lambda: scene.entry("call").get("state") == "Running", "the child to run")
        operator.kill()
    scene.delete("FlowRun", pod_name("run", scene.run().metadata.uid, TaskInstanceKey("call"), 1))
    scene.until(lambda: len(scene.now["flowruns"]) == 1, "the child to be gone")
    with replica():
        assert scene.finish()["state"] == "Failed"
    assert scene.entry("call")["reason"] == "ChildDeleted"


def test_a_parent_that_is_ended_while_no_operator_runs_ends_its_child(scene, replica):
    scene.create("Flow", "inner", {"tasks": [task(**FOREVER)]})
    with replica() as operator:
        scene.start({"name": "call", "flow": {"name": "inner"}})
        scene.until(lambda: scene.entry("call").get("state") == "Running", "the child to run")
        operator.kill()
    scene.patch("FlowRun", "run", {"spec": {"shutdown": "Cancel"}})
    with replica():
        assert scene.finish()["state"] == "Cancelled"
        child = pod_name("run", scene.run().metadata.uid, TaskInstanceKey("call"), 1)
        scene.until(lambda: scene.status(child).get("state") in FINAL_RUN_STATES, "the child to be over")
    assert scene.status(child)["reason"] == "ParentEnded"
