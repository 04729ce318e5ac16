"""The examples, applied as the README says: every one of them runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.kubectl import Kubectl

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def applied(shared: Kubectl) -> Kubectl:
    shared.run("apply", "-f", str(EXAMPLES))
    return shared


def test_every_example_run_completes_whatever_the_order_of_the_files(applied: Kubectl):
    runs = [run["metadata"]["name"] for run in applied.get_all("flowruns")]

    states = {name: applied.finish(name, timeout_s=300)["status"]["state"] for name in runs}

    assert set(runs) >= {"hello", "weather"}
    assert set(states.values()) == {"Completed"}


def test_get_reads_well(applied: Kubectl):
    applied.finish("hello")

    listed = applied.run("get", "flows,flowruns,schedules")

    assert "NAME" in listed
    assert "Completed" in listed
    assert "True" in listed
    for wanted in ("flow.penstock.dev/hello", "flowrun.penstock.dev/hello", "schedule.penstock.dev/nightly"):
        assert wanted in listed


def test_describe_tells_the_story_of_a_run(applied: Kubectl):
    applied.finish("weather", timeout_s=300)

    described = applied.run("describe", "flowrun", "weather")

    assert "TaskRetrying" in described
    assert "(attempt 1; retry 1 of " in described
    assert "Completed" in described


def test_the_outputs_of_hello_are_those_of_its_tasks(applied: Kubectl):
    run = applied.finish("hello")

    assert run["status"]["outputs"] == {"greeting": "Hello, Seattle!", "characters": 15}


def test_the_backfill_runs_its_days(applied: Kubectl):
    applied.wait("backfill/umbrella-in-march", "condition=Finished", timeout_s=300)

    (backfill,) = applied.get_all("backfills")
    assert backfill["status"]["state"] == "Completed"
    made = applied.get_all("flowruns", selector="penstock.dev/backfill=umbrella-in-march")
    assert sorted(run["spec"]["params"]["day"] for run in made) == [f"2014-03-0{day}" for day in range(3, 8)]


def test_the_end_of_hello_is_reacted_to(applied: Kubectl):
    applied.wait("schedule/reactions", "jsonpath={.status.events.greeted.lastRun}")

    reactions = applied.get_all("flowruns", selector="penstock.dev/event=greeted")
    assert {"what": "hello said: Hello, Seattle!"} in [run["spec"]["params"] for run in reactions]
