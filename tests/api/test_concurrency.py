"""Runs of one Flow get along: they queue, are skipped or replaced, and never are more than the Flow allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from penstock.engine.state import FINAL_RUN_STATES
from tests.api.scene import Scene, task

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("operator")]

FOREVER = {"pod_outcome": "run"}


def limited(
    scene: Scene, *tasks: Mapping[str, Any], name: str = "orders", params: Any = None, **concurrency: Any
) -> None:
    """Create a Flow with a limit, of tasks that run until they are deleted if none are given."""
    spec: dict[str, Any] = {"tasks": list(tasks) or [task(**FOREVER)], "concurrency": {"limit": 1, **concurrency}}
    scene.create("Flow", "orders", spec | ({"params": params} if params else {}))


def queued(scene: Scene, name: str, position: int) -> Mapping[str, Any]:
    """Wait for a run to be queued at a place."""
    scene.until(
        lambda: (scene.status(name).get("state"), scene.status(name).get("queuePosition")) == ("Queued", position),
        f"run {name} to be queued at place {position}",
    )
    return scene.status(name)


def cancel(scene: Scene, name: str) -> None:
    scene.patch("FlowRun", name, {"spec": {"shutdown": "Cancel"}})


def finished(scene: Scene, name: str) -> Mapping[str, Any]:
    """Wait for a run to finish, whatever others do."""
    scene.until(lambda: scene.status(name).get("state") in FINAL_RUN_STATES, f"run {name} to finish")
    return scene.status(name)


def has_pods(scene: Scene, run: str) -> bool:
    return bool(scene.ever_attempts(run))


# Queue


def test_one_run_more_than_the_limit_waits_for_its_turn(scene):
    limited(scene)
    scene.start_of("orders", "a")
    scene.reach("Running", "a")
    scene.start_of("orders", "b")

    status = queued(scene, "b", 1)
    assert status["reason"] == "ConcurrencyLimit"
    assert status["message"] == "Flow orders allows 1 concurrent run; active: a"
    assert "startTime" not in status
    assert not has_pods(scene, "b")
    assert scene.event("Queued", "b").message.startswith("Flow orders allows 1 concurrent run")

    cancel(scene, "a")
    assert "queuePosition" not in scene.reach("Running", "b")
    assert scene.status("a")["state"] == "Cancelled"


def test_a_queued_run_shows_the_runs_in_front_and_moves_up(scene):
    limited(scene)
    for name in "abcd":
        scene.start_of("orders", name)
        scene.reach("Running" if name == "a" else "Queued", name)

    assert queued(scene, "d", 3)["message"] == "Flow orders allows 1 concurrent run; active: a; 2 ahead: b, c"
    # One that is shut down while it waits ends at once, and leaves the queue.
    cancel(scene, "b")
    assert finished(scene, "b")["state"] == "Cancelled"
    assert not has_pods(scene, "b")
    queued(scene, "c", 1)
    queued(scene, "d", 2)

    scene.delete("FlowRun", "c")
    queued(scene, "d", 1)


def test_a_run_of_higher_priority_goes_first(scene):
    limited(scene)
    scene.start_of("orders", "a")
    scene.reach("Running", "a")
    scene.start_of("orders", "b")
    queued(scene, "b", 1)
    scene.start_of("orders", "urgent", priority=10)
    queued(scene, "urgent", 1)
    queued(scene, "b", 2)

    # A priority may change while a run waits.
    scene.patch("FlowRun", "b", {"spec": {"priority": 20}})
    queued(scene, "b", 1)
    queued(scene, "urgent", 2)
    cancel(scene, "a")
    scene.reach("Running", "b")
    assert scene.status("urgent")["state"] == "Queued"


def test_never_more_run_than_the_limit_and_all_have_their_turn(scene):
    limited(scene, task(pod_run_for="100ms"), limit=3)
    names = [f"r{number:02}" for number in range(15)]
    for name in names:
        scene.start_of("orders", name)

    most = 0

    def all_have_finished() -> bool:
        nonlocal most
        pods = [pod for pod in scene.pods() if pod.status.get("phase") in {"Pending", "Running"}]
        most = max(most, len(pods))
        return all(scene.status(name).get("state") == "Completed" for name in names)

    scene.until(all_have_finished, "all runs to complete")
    assert most <= 3
    assert all(len(scene.ever_attempts(name)) == 1 for name in names)


def test_runs_of_different_keys_do_not_wait_for_each_other(scene):
    limited(scene, key="$(params.region)", params=[{"name": "region", "default": "eu"}])
    scene.start_of("orders", "a", params={"region": "eu"})
    scene.start_of("orders", "b", params={"region": "us"})
    scene.reach("Running", "a")
    scene.reach("Running", "b")

    # A default counts as the value that it is.
    scene.start_of("orders", "c")
    assert queued(scene, "c", 1)["message"] == "Flow orders allows 1 concurrent run of key eu; active: a"
    cancel(scene, "a")
    scene.reach("Running", "c")


def test_a_key_that_has_no_value_fails_the_run_with_that_reason(scene):
    limited(scene, key="$(params.where.region)", params=[{"name": "where", "type": "object"}])
    scene.start_of("orders", "a", params={"where": {}})
    status = finished(scene, "a")
    assert (status["state"], status["reason"]) == ("Failed", "ExpressionError")
    assert status["message"].startswith("the Flow's concurrency.key: ")
    assert "region" in status["message"]


def test_a_raised_limit_lets_the_next_ones_start_and_a_lowered_one_stops_no_run(scene):
    limited(scene)
    for name in "abc":
        scene.start_of("orders", name)
        scene.reach("Running" if name == "a" else "Queued", name)

    scene.patch("Flow", "orders", {"spec": {"concurrency": {"limit": 2}}})
    scene.reach("Running", "b")
    queued(scene, "c", 1)

    scene.patch("Flow", "orders", {"spec": {"concurrency": {"limit": 1}}})
    cancel(scene, "a")
    finished(scene, "a")
    scene.start_of("orders", "d")
    queued(scene, "d", 2)
    assert scene.status("b")["state"] == "Running"
    assert scene.status("c")["state"] == "Queued"

    scene.patch("Flow", "orders", {"spec": {"concurrency": None}})
    scene.reach("Running", "c")
    scene.reach("Running", "d")


def test_a_queued_run_that_is_suspended_leaves_the_queue_and_comes_back_to_its_place(scene):
    limited(scene)
    for name in "abc":
        scene.start_of("orders", name)
        scene.reach("Running" if name == "a" else "Queued", name)

    scene.patch("FlowRun", "b", {"spec": {"suspend": True}})
    assert "queuePosition" not in scene.reach("Paused", "b")
    queued(scene, "c", 1)
    scene.patch("FlowRun", "b", {"spec": {"suspend": False}})
    queued(scene, "b", 1)
    queued(scene, "c", 2)


def test_runs_that_are_paused_or_wait_for_approval_keep_their_slot(scene):
    limited(scene, {"name": "ask", "approval": {}})
    scene.start_of("orders", "a")
    scene.reach("Paused", "a")
    scene.start_of("orders", "b")
    queued(scene, "b", 1)
    scene.patch("FlowRun", "a", {"spec": {"approvals": [{"task": "ask", "decision": "Approve"}]}})
    scene.reach("Paused", "b")


# Skip


def test_one_run_more_is_skipped_where_the_flow_asks_for_that(scene):
    limited(scene, onLimit="Skip")
    scene.start_of("orders", "a")
    scene.reach("Running", "a")
    scene.start_of("orders", "b")

    status = finished(scene, "b")
    assert (status["state"], status["reason"]) == ("Skipped", "ConcurrencyLimit")
    assert "Flow orders allows 1 concurrent run; active: a" in status["message"]
    assert {kind["type"]: kind["status"] for kind in status["conditions"]}["Finished"] == "True"
    assert not has_pods(scene, "b")
    assert scene.status("a")["state"] == "Running"


# Replace


def test_a_newer_run_takes_the_place_of_the_oldest(scene):
    finish_up = task("clean-up")
    scene.create(
        "Flow",
        "orders",
        {
            "tasks": [task(**FOREVER)],
            "finally": [finish_up],
            "concurrency": {"limit": 1, "onLimit": "Replace"},
        },
    )
    scene.start_of("orders", "a")
    scene.reach("Running", "a")
    scene.start_of("orders", "b")

    status = finished(scene, "a")
    assert (status["state"], status["shutdown"]["reason"]) == ("Cancelled", "RunReplaced")
    assert "replaced by run b" in status["shutdown"]["message"]
    assert scene.entry("clean-up", "a")["state"] == "Completed"
    scene.reach("Running", "b")
    # B starts when A has finished, not before.
    assert scene.status("b")["startTime"] >= status["completionTime"][:19]


def test_of_many_newer_runs_the_newest_runs(scene):
    limited(scene, onLimit="Replace")
    scene.start_of("orders", "r0")
    scene.reach("Running", "r0")
    for number in range(1, 6):
        scene.start_of("orders", f"r{number}")

    scene.reach("Running", "r5")
    for number in range(5):
        assert finished(scene, f"r{number}")["state"] == "Cancelled"
