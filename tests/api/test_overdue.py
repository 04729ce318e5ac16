"""A Flow whose runs have not succeeded for too long says so in a condition, until one succeeds."""

from __future__ import annotations

import pytest

from tests.api.scene import Scene, task

pytestmark = pytest.mark.api


def overdue(scene: Scene) -> tuple[str, str] | None:
    """Return status and reason of the condition."""
    flow = scene.now["flows"].get("orders")
    conditions = [] if flow is None else flow.status.get("conditions", [])
    return next(((one["status"], one["reason"]) for one in conditions if one["type"] == "Overdue"), None)


def test_a_flow_is_overdue_until_a_run_succeeds(at_work: Scene):
    scene = at_work
    scene.create("Flow", "orders", {"tasks": [task()], "expectSuccessWithin": "20s"})
    scene.until(lambda: overdue(scene) == ("False", "SucceededInTime"), "the Flow to be in time")
    scene.patch("Flow", "orders", {"spec": {"expectSuccessWithin": "1s"}})
    scene.until(lambda: overdue(scene) == ("True", "NoSuccess"), "the Flow to be overdue")
    assert "no run has succeeded since" in scene.event("Overdue", "orders").message

    scene.patch("Flow", "orders", {"spec": {"expectSuccessWithin": "1h"}})
    scene.until(lambda: overdue(scene) == ("False", "SucceededInTime"), "the Flow to be in time again")
    scene.event("Recovered", "orders")


def test_a_success_ends_it_and_the_time_is_counted_from_there(at_work: Scene):
    scene = at_work
    scene.create("Flow", "orders", {"tasks": [task()], "expectSuccessWithin": "4s"})
    scene.until(lambda: overdue(scene) == ("True", "NoSuccess"), "the Flow to be overdue")

    scene.start_of("orders", "good")

    scene.until(lambda: overdue(scene) == ("False", "SucceededInTime"), "the success to be counted")
    scene.until(lambda: overdue(scene) == ("True", "NoSuccess"), "the Flow to be overdue again")


def test_a_flow_that_expects_nothing_has_no_such_condition(at_work: Scene):
    scene = at_work
    scene.create("Flow", "orders", {"tasks": [task()], "expectSuccessWithin": "1h"})
    scene.until(lambda: overdue(scene) is not None, "the condition")

    scene.patch("Flow", "orders", {"spec": {"expectSuccessWithin": None}})

    scene.until(lambda: overdue(scene) is None, "the condition to be removed")
    ready = [one["status"] for one in scene.now["flows"]["orders"].status["conditions"]]
    assert ready == ["True"]
