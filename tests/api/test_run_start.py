"""Runs before they start: they wait for their time, for a person, for another run; or they end without a start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock.engine.timestamp import epoch
from tests.api.scene import Scene, Seen, task

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("operator")]

FOREVER = {"pod_outcome": "run"}


def in_s(seconds: float) -> str:
    """Return the time so many seconds from now, to the second, as people write it."""
    return (datetime.now(tz=UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def pods_of(scene: Scene, run: str) -> list[str]:
    """Return the tasks that ever had a Pod of a run."""
    return sorted(attempt.task for attempt in scene.ever_attempts(run))


def is_not_begun(scene: Scene, status: Any, run: str = "run") -> bool:
    return "startTime" not in status and "tasks" not in status and not pods_of(scene, run)


# Its time


def test_a_run_starts_at_its_scheduled_time_and_no_sooner(scene):
    scene.create("FlowRun", "run", {"flowSpec": {"tasks": [task()]}, "scheduledTime": "2100-01-01T00:00:00Z"})
    scene.reach("Scheduled")
    due = in_s(5)
    scene.patch("FlowRun", "run", {"spec": {"scheduledTime": due}})

    status = scene.until(
        lambda: due in scene.status().get("message", "") and scene.status(), "the run to say when it starts"
    )
    assert (status["reason"], status["message"]) == ("NotDue", f"starts at {due}")
    assert is_not_begun(scene, status)
    assert {kind["type"]: kind["status"] for kind in status["conditions"]} == {
        "Succeeded": "Unknown",
        "Finished": "False",
    }

    status = scene.finish()
    assert status["state"] == "Completed"
    assert epoch(status["startTime"]) >= epoch(due)


def test_a_run_whose_time_has_passed_starts_at_once(scene):
    scene.create("FlowRun", "run", {"flowSpec": {"tasks": [task()]}, "scheduledTime": in_s(-3600)})
    assert scene.finish()["state"] == "Completed"


def test_expressions_know_the_scheduled_time(scene):
    due = in_s(1)
    scene.create("FlowRun", "run", {"flowSpec": {"tasks": [task(args=["$(run.scheduledTime)"])]}, "scheduledTime": due})
    assert scene.finish()["state"] == "Completed"
    assert scene.pod().spec["containers"][0]["args"] == [due]


# A person


def test_a_run_that_is_created_suspended_starts_nothing_until_it_is_resumed(scene):
    scene.create("FlowRun", "run", {"flowSpec": {"tasks": [task()]}, "suspend": True, "timeout": "2s"})

    status = scene.reach("Paused")
    assert status["reason"] == "Suspended"
    assert is_not_begun(scene, status)
    resumed_at = datetime.now(tz=UTC).timestamp()
    scene.patch("FlowRun", "run", {"spec": {"suspend": False}})

    # The timeout is counted from the start, not from the creation.
    status = scene.finish()
    assert status["state"] == "Completed"
    assert epoch(status["startTime"]) >= resumed_at - 1


def test_a_suspended_run_is_shown_as_paused_even_before_its_time(scene):
    scene.create("FlowRun", "run", {"flowSpec": {"tasks": [task()]}, "suspend": True, "scheduledTime": in_s(3600)})
    scene.reach("Paused")
    scene.patch("FlowRun", "run", {"spec": {"suspend": False}})
    scene.reach("Scheduled")


WAITING: dict[str, dict[str, Any]] = {
    "Scheduled": {"flowSpec": {"tasks": [task()]}, "scheduledTime": "2100-01-01T00:00:00Z"},
    "Paused": {"flowSpec": {"tasks": [task()]}, "suspend": True},
    "Pending": {"flow": {"name": "nowhere"}},
}


@pytest.mark.parametrize("state", WAITING)
@pytest.mark.parametrize(
    ("mode", "reason"), [("Drain", "RunDrained"), ("Cancel", "RunCancelled"), ("Terminate", "RunTerminated")]
)
def test_a_shutdown_ends_a_run_that_has_not_started_at_once(scene, state, mode, reason):
    scene.create("FlowRun", "run", WAITING[state])
    scene.reach(state)

    scene.patch("FlowRun", "run", {"spec": {"shutdown": mode}})

    status = scene.finish()
    assert (status["state"], status["reason"]) == ("Cancelled", reason)
    assert f"spec.shutdown is {mode}" in status["message"]
    assert is_not_begun(scene, status)
    assert "completionTime" in status


def test_a_run_that_is_created_with_a_shutdown_never_starts(scene):
    scene.create("FlowRun", "run", {"flowSpec": {"tasks": [task()]}, "shutdown": "Cancel"})
    status = scene.finish()
    assert status["state"] == "Cancelled"
    assert is_not_begun(scene, status)


@pytest.mark.parametrize("state", WAITING)
def test_a_run_that_has_not_started_can_be_deleted_and_another_of_its_name_started(scene, state):
    scene.create("FlowRun", "run", WAITING[state])
    scene.reach(state)
    scene.delete("FlowRun", "run")
    scene.until(lambda: "run" not in scene.now["flowruns"], "the run to be gone")

    scene.start(task())
    assert scene.finish()["state"] == "Completed"


# Another run


@pytest.fixture
def failed(scene: Scene) -> Callable[..., Seen]:
    """A run of a Flow whose second task fails, and which passes a value to it."""

    def fail(name: str = "first", **fields: Any) -> Seen:
        scene.create("Flow", "etl", etl("1"))
        scene.start_of("etl", name, params={"day": "monday"}, **fields)
        assert scene.finish(name)["state"] == "Failed"
        return scene.run(name)

    return fail


def etl(exit_code: str) -> dict[str, Any]:
    return {
        "params": [{"name": "day"}],
        "tasks": [
            task("read", pod_outputs='{"rows": 3}'),
            task(
                "write",
                args=["$(params.day)", "$(tasks.read.outputs.rows)"],
                pod_exit_code=exit_code,
            ),
        ],
        "outputs": {"rows": "$(tasks.read.outputs.rows)"},
    }


def test_a_retry_keeps_what_was_completed_and_runs_the_rest(scene, failed):
    first = failed()
    scene.patch("Flow", "etl", {"spec": {"tasks": etl("0")["tasks"]}})

    scene.create("FlowRun", "again", {"retryOf": {"name": "first", "revision": "Latest"}})

    status = scene.finish("again")
    assert (status["state"], status["outputs"], status["params"]) == ("Completed", {"rows": 3}, {"day": "monday"})
    assert pods_of(scene, "again") == ["write"]
    assert status["retryOf"] == {"name": "first", "uid": first.metadata.uid}
    pod = next(pod for pod in scene.pods() if pod.metadata.labels["penstock.dev/run"] == "again")
    assert pod.spec["containers"][0]["args"] == ["monday", "3"]
    assert pod.metadata.labels["penstock.dev/flow"] == "etl"


def test_a_retry_of_the_same_revision_never_sees_an_edit(scene, failed):
    failed()
    scene.patch("Flow", "etl", {"spec": {"tasks": etl("0")["tasks"]}})

    scene.create("FlowRun", "again", {"retryOf": {"name": "first"}})

    status = scene.finish("again")
    assert status["state"] == "Failed"
    assert status["revision"] == scene.status("first")["revision"]
    assert pods_of(scene, "again") == ["write"]


def test_a_retry_of_a_retry_knows_its_line(scene, failed):
    failed()
    scene.create("FlowRun", "second", {"retryOf": {"name": "first"}})
    assert scene.finish("second")["state"] == "Failed"
    scene.delete("FlowRun", "first")
    scene.patch("Flow", "etl", {"spec": {"tasks": etl("0")["tasks"]}})

    scene.create("FlowRun", "third", {"retryOf": {"name": "second", "revision": "Latest"}})

    status = scene.finish("third")
    assert (status["state"], status["outputs"]) == ("Completed", {"rows": 3})
    assert (status["retryOf"]["name"], status["retryOf"]["lineage"]) == ("second", ["first"])
    assert pods_of(scene, "third") == ["write"]


def test_a_run_of_an_inline_spec_can_be_retried_and_its_retry_too(scene):
    scene.start(task("a", pod_outputs='{"x": 1}'), task("b", args=["$(tasks.a.outputs.x)"], pod_exit_code="1"))
    assert scene.finish()["state"] == "Failed"

    for name, before in (("again", "run"), ("once-more", "again")):
        scene.create("FlowRun", name, {"retryOf": {"name": before}})
        assert scene.finish(name)["state"] == "Failed"
        assert pods_of(scene, name) == ["b"]
        scene.delete("FlowRun", before)


def test_a_retry_waits_for_the_end_of_the_run_that_it_names(scene):
    scene.start(task(**FOREVER))
    scene.reach("Running")

    scene.create("FlowRun", "again", {"retryOf": {"name": "run"}, "suspend": False})
    status = scene.reach("Pending", "again")
    assert (status["reason"], status["message"]) == (
        "RetryOfUnfinished", "waits for the end of run run, which is Running",
    )  # fmt: skip
    event = scene.event("RetryOfUnfinished", "again")
    assert (event.type, event.message) == ("Normal", status["message"])
    scene.patch("FlowRun", "run", {"spec": {"shutdown": "Cancel"}})

    scene.reach("Running", "again")
    assert scene.status()["state"] == "Cancelled"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("nobody", "the FlowRun nobody does not exist in namespace", id="that does not exist"),
        pytest.param("again", "a run cannot retry itself", id="that it is itself"),
    ],
)
def test_a_retry_fails_of_a_run(scene, name, said):
    scene.create("FlowRun", "again", {"retryOf": {"name": name}})
    status = scene.finish("again")
    assert (status["state"], status["reason"]) == ("Failed", "InvalidSpec")
    assert f"spec.retryOf.name: {said}" in status["message"]


def test_a_retry_that_waits_fails_when_the_run_that_it_names_is_deleted(scene):
    scene.start(task(**FOREVER))
    scene.create("FlowRun", "again", {"retryOf": {"name": "run"}})
    scene.reach("Pending", "again")
    scene.delete("FlowRun", "run")
    assert "does not exist" in scene.finish("again")["message"]


# A status that can't be read


def test_a_run_whose_status_a_person_makes_unreadable_stops_its_pods(scene):
    scene.start(task(**FOREVER), task("other", **FOREVER))
    scene.reach_task("Running", "main")
    scene.reach_task("Running", "other")

    scene.patch("FlowRun", "run", {"status": {"tasks": [{"name": "else", "state": "Running"}]}}, is_status=True)
    # So that the operator has something to store, and finds what became of the rest.
    scene.delete_pod(scene.pod("other"))

    status = scene.finish()
    assert (status["state"], status["reason"]) == ("Failed", "InvalidStatus")
    scene.until(lambda: not scene.pods(), "its Pods to be gone")
