"""Backfills by the real operator on a real API server."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock.api import names
from penstock.engine.timestamp import epoch
from tests.api.scene import Scene, Seen, task

pytestmark = pytest.mark.api

DAY_S = 86_400
FROM = "2026-10-01T00:00:00Z"
YEARLY = "0 0 1 1 *"


def minute_of(day: int) -> int:
    """The tick of a day of October 2026, as it stands in the names of runs."""
    return int((datetime(2026, 10, day, tzinfo=UTC)).timestamp()) // 60


def name_of(day: int) -> str:
    return f"daily-{minute_of(day)}"


def schedule(
    scene: Scene, *, name: str = "daily", cron: str = "@daily", on_delete: str = "Orphan", **behaviour: str
) -> dict[str, Any]:
    """Create a Schedule that does nothing by itself; its runs behave so."""
    work = task(args=["$(params.day)"], **{f"pod_{word}": text for word, text in behaviour.items()})
    spec = {
        "flowSpec": {"params": [{"name": "day"}], "tasks": [work]},
        "params": {"day": "$(tick.date) after $(tick.previous.date)"},
    }
    timing = {"cron": [cron], "suspend": True}
    return scene.create("Schedule", name, {**timing, "onDelete": on_delete, "runTemplate": {"spec": spec}})


def backfill(scene: Scene, days: int, name: str = "october", **spec: Any) -> dict[str, Any]:
    """Create a Backfill of the first days of October 2026."""
    to = (datetime.fromisoformat(FROM) + timedelta(days=days)).isoformat().replace("+00:00", "Z")
    return scene.create("Backfill", name, {"schedule": {"name": "daily"}, "from": FROM, "to": to, **spec})


def status(scene: Scene, name: str = "october") -> dict[str, Any]:
    found = scene.now["backfills"].get(name)
    return {} if found is None else found.status


def reach(scene: Scene, state: str, name: str = "october") -> dict[str, Any]:
    try:
        scene.until(lambda: status(scene, name).get("state") == state, f"Backfill {name} to be {state}")
    except AssertionError as error:
        raise AssertionError(f"{error}; Backfill: {status(scene, name)}") from error
    return status(scene, name)


def conditions(found: dict[str, Any]) -> dict[str, str]:
    return {one["type"]: one["status"] for one in found["conditions"]}


def runs(scene: Scene, *, ever: bool = False) -> list[Seen]:
    """The runs of Backfills, by their names, which are in the order of their ticks."""
    found = (scene.ever if ever else scene.now)["flowruns"].values()
    ours = [run for run in list(found) if names.LABEL_BACKFILL in run.metadata.labels]
    return sorted(ours, key=lambda run: run.metadata.name)


def active(scene: Scene) -> list[str]:
    return [run.metadata.name for run in runs(scene) if run.status.get("state") in (None, "Pending", "Running")]


def test_each_tick_of_the_span_gets_a_run_with_its_own_params(scene, operator):
    made = schedule(scene)
    backfill(scene, days=5, maxActive=2)

    found = reach(scene, "Completed")

    assert [run.metadata.name for run in runs(scene)] == [name_of(day) for day in range(1, 6)]
    assert runs(scene)[0].spec["params"] == {"day": "2026-10-01 after 2026-09-30"}
    assert found["progress"] == "5/5"
    assert found["counts"] == {"Running": 0, "Completed": 5}
    assert conditions(found) == {"Succeeded": "True", "Finished": "True"}
    assert found["message"] == "5 ticks: 5 completed"
    assert epoch(found["startTime"]) <= epoch(found["completionTime"])
    first = runs(scene)[0].metadata
    assert first.labels[names.LABEL_SCHEDULE] == "daily"
    assert first.labels[names.LABEL_BACKFILL] == "october"
    # It outlives the Backfill and the Schedule.
    assert first.owner_references == ()
    assert first.annotations[names.ANNOTATION_SCHEDULE_UID] == made["metadata"]["uid"]
    assert first.annotations[names.ANNOTATION_BACKFILL_UID] == scene.now["backfills"]["october"].metadata.uid


def test_finished_runs_go_with_a_schedule_that_wants_that(scene, operator):
    made = schedule(scene, on_delete="Delete")
    backfill(scene, days=1)
    reach(scene, "Completed")
    (run,) = runs(scene)
    owners = {owner.kind: owner for owner in run.metadata.owner_references}
    assert owners["Schedule"].uid == made["metadata"]["uid"]
    assert owners["Backfill"].controller


@pytest.mark.parametrize(("order", "days"), [("OldestFirst", [1, 2]), ("NewestFirst", [5, 4])])
def test_no_more_runs_than_allowed_are_active_and_they_come_in_order(scene, operator, order, days):
    schedule(scene, outcome="run")
    backfill(scene, days=5, maxActive=2, order=order)

    scene.until(lambda: status(scene).get("counts", {}).get("Running") == 2, "two runs to be active")
    assert sorted(active(scene)) == sorted(name_of(day) for day in days)

    # A run that a person deletes is not created again; the next tick takes its place.
    scene.delete("FlowRun", name_of(days[0]))
    third = {"OldestFirst": 3, "NewestFirst": 3}[order]
    scene.until(lambda: name_of(third) in scene.now["flowruns"], "the third tick to get its run")
    scene.until(lambda: status(scene).get("counts", {}).get("Deleted") == 1, "the deletion to be stored")
    assert name_of(days[0]) not in scene.now["flowruns"]
    assert len(active(scene)) == 2


def test_suspending_starts_nothing_more_and_resuming_continues(scene, operator):
    schedule(scene)
    backfill(scene, days=3, suspend=True)
    scene.until(lambda: status(scene).get("reason") == "Suspended", "the Backfill to be reconciled")
    assert runs(scene) == []

    scene.patch("Backfill", "october", {"spec": {"suspend": None}})
    assert reach(scene, "Completed")["progress"] == "3/3"


@pytest.mark.parametrize(
    ("reprocess", "want"),
    [
        pytest.param("None", {"Skipped": 2, "Completed": 1}, id="ticks that have a run are left"),
        pytest.param("Failed", {"Skipped": 1, "Completed": 2}, id="failed ones are repeated"),
        pytest.param("All", {"Completed": 3}, id="all are repeated"),
    ],
)
def test_ticks_that_have_a_run(scene, operator, reprocess, want):
    schedule(scene, exit_code="0")
    backfill(scene, days=1, name="first")
    reach(scene, "Completed", "first")
    past_run(scene, day=2, state="Failed")

    backfill(scene, days=3, reprocess=reprocess)

    found = reach(scene, "Completed")
    assert {word: count for word, count in found["counts"].items() if word != "Running"} == {"Completed": 0} | want
    by_tick: dict[str, int] = {}
    for run in scene.now["flowruns"].values():
        tick = run.metadata.annotations[names.ANNOTATION_TICK]
        by_tick[tick] = by_tick.get(tick, 0) + 1
    assert sum(by_tick.values()) == 2 + want["Completed"]


def past_run(scene: Scene, *, day: int, state: str) -> None:
    """Make a run that the Schedule itself once made."""
    tick = datetime(2026, 10, day, tzinfo=UTC).isoformat()
    behaviour = {"Running": {"pod_outcome": "run"}, "Failed": {"pod_exit_code": "1"}}[state]
    scene.until(lambda: "daily" in scene.now["schedules"], "the Schedule to be seen")
    scene.create(
        "FlowRun",
        name_of(day),
        {"flowSpec": {"tasks": [task(**behaviour)]}},
        labels={names.LABEL_SCHEDULE: "daily"},
        annotations={
            names.ANNOTATION_TICK: tick,
            names.ANNOTATION_SCHEDULE_UID: scene.now["schedules"]["daily"].metadata.uid,
        },
    )
    scene.reach(state, name_of(day))


def test_a_run_that_only_says_that_it_is_of_a_tick_counts_for_none(scene, operator):
    schedule(scene)
    said = {
        "labels": {names.LABEL_SCHEDULE: "daily"},
        "annotations": {names.ANNOTATION_TICK: datetime(2026, 10, 1, tzinfo=UTC).isoformat()},
    }
    scene.create("FlowRun", "innocent", {"flowSpec": {"tasks": [task("never", when="false")]}}, **said)
    scene.reach("Completed", "innocent")

    backfill(scene, days=1)
    assert reach(scene, "Completed")["counts"]["Completed"] == 1

    # Nor does one that takes the name of a tick's run: the Backfill says so, and waits.
    scene.create("FlowRun", name_of(2), {"flowSpec": {"tasks": [task("never", when="false")]}})
    scene.reach("Completed", name_of(2))
    backfill(scene, days=2, name="second", reprocess="Failed")
    scene.until(lambda: status(scene, "second").get("reason") == "FailedCreate", "the Backfill to wait")
    assert name_of(2) in status(scene, "second")["message"]
    scene.delete("FlowRun", name_of(2))
    assert reach(scene, "Completed", "second")["counts"]["Completed"] == 1


@pytest.mark.parametrize("reprocess", ["None", "Failed", "All"])
def test_a_tick_whose_run_is_active_gets_no_second_one_beside_it(scene, operator, reprocess):
    schedule(scene)
    past_run(scene, day=1, state="Running")

    backfill(scene, days=2, reprocess=reprocess)

    scene.until(lambda: name_of(2) in scene.now["flowruns"], "the other tick to get its run")
    scene.until(lambda: status(scene).get("counts", {}).get("Completed") == 1, "the other tick to be done with")
    of_first = [
        run
        for run in scene.ever["flowruns"].values()
        if run.metadata.annotations[names.ANNOTATION_TICK] == "2026-10-01T00:00:00+00:00"
    ]
    assert len(of_first) == 1
    if reprocess == "None":
        assert reach(scene, "Completed")["counts"]["Skipped"] == 1


def test_a_failed_run_fails_the_backfill_and_does_not_stop_it(scene, operator):
    schedule(scene, exit_code="1")
    backfill(scene, days=3)

    found = reach(scene, "Failed")

    assert found["counts"] == {"Running": 0, "Completed": 0, "Failed": 3}
    assert conditions(found) == {"Succeeded": "False", "Finished": "True"}
    assert scene.event("Failed", "october").type == "Warning"


def test_ticks_whose_runs_a_concurrency_limit_skips_are_not_done_and_reprocess_failed_runs_them(scene, operator):
    scene.create("Flow", "one", {"tasks": [task(pod_run_for="1s")], "concurrency": {"limit": 1, "onLimit": "Skip"}})
    template = {"spec": {"flow": {"name": "one"}}}
    scene.create("Schedule", "daily", {"cron": ["@daily"], "suspend": True, "runTemplate": template})
    backfill(scene, days=4, maxActive=3)

    found = reach(scene, "Failed")

    completed = found["counts"]["Completed"]
    assert found["counts"] == {"Running": 0, "Completed": completed, "NotRun": 4 - completed}
    assert 1 <= completed < 4
    assert found["message"] == f"4 ticks: {completed} completed, {4 - completed} not run"
    assert conditions(found) == {"Succeeded": "False", "Finished": "True"}

    backfill(scene, days=4, name="again", reprocess="Failed")

    assert reach(scene, "Completed", "again")["counts"] == {
        "Running": 0,
        "Completed": 4 - completed,
        "Skipped": completed,
    }


def test_deleting_a_backfill_deletes_active_runs_and_keeps_finished_ones(scene, operator):
    schedule(scene)
    backfill(scene, days=2)
    reach(scene, "Completed")
    kept = {run.metadata.name for run in runs(scene)}
    endless = {"params": None, "tasks": [task(pod_outcome="run")]}
    scene.patch("Schedule", "daily", {"spec": {"runTemplate": {"spec": {"flowSpec": endless, "params": None}}}})
    to = "2026-10-05T00:00:00Z"
    scene.create("Backfill", "more", {"schedule": {"name": "daily"}, "from": FROM, "to": to, "maxActive": 2})
    scene.until(lambda: status(scene, "more").get("counts", {}).get("Running") == 2, "two runs to be active")

    for name in ("more", "october"):
        scene.delete("Backfill", name)

    scene.until(lambda: {run.metadata.name for run in runs(scene)} == kept, "what runs to be gone")
    scene.until(lambda: {pod.metadata.labels[names.LABEL_RUN] for pod in scene.pods()} == kept, "their Pods to be gone")
    assert "october" not in scene.now["backfills"]


def test_a_run_that_finishes_after_its_schedule_was_deleted_outlives_the_backfill(scene, operator):
    schedule(scene, on_delete="Delete", outcome="run")
    backfill(scene, days=1)
    scene.until(lambda: active(scene) == [name_of(1)], "the run to be active")
    scene.delete("Schedule", "daily")
    scene.until(lambda: "daily" not in scene.now["schedules"], "the Schedule to be gone")
    scene.patch("FlowRun", name_of(1), {"spec": {"shutdown": "Terminate"}})

    scene.until(lambda: runs(scene)[0].metadata.owner_references == (), "the run to be kept")


def test_one_whose_schedule_does_not_exist_waits_for_it(scene, operator):
    backfill(scene, days=2)
    scene.until(lambda: status(scene).get("reason") == "ScheduleNotFound", "the Backfill to be reconciled")
    assert "daily" in status(scene)["message"]
    assert conditions(status(scene)) == {"Succeeded": "Unknown", "Finished": "False"}

    schedule(scene)
    reach(scene, "Completed")


def test_too_many_ticks_are_refused_with_the_number_and_the_place_to_cut(scene, operator):
    schedule(scene, cron="* * * * *")
    backfill(scene, days=30)

    found = reach(scene, "Failed")

    assert found["reason"] == "Invalid"
    assert "spec.to" in found["message"]
    assert "10,000" in found["message"]
    assert "2026-10-07T22:40:00Z" in found["message"]
    assert runs(scene) == []


def test_an_edit_of_the_cron_moves_no_tick_of_a_backfill_that_has_begun(scene, operator):
    schedule(scene)
    backfill(scene, days=3, suspend=True)
    scene.until(lambda: status(scene).get("ticks") == 3, "the ticks to be found")

    scene.patch("Schedule", "daily", {"spec": {"cron": ["@hourly"]}})
    scene.patch("Backfill", "october", {"spec": {"suspend": None}})

    assert reach(scene, "Completed")["ticks"] == 3


def test_a_template_that_makes_no_run_stalls_the_backfill_until_it_is_corrected(scene, operator):
    schedule(scene)
    scene.patch("Schedule", "daily", {"spec": {"runTemplate": {"spec": {"params": {"day": "$(int(tick.date))"}}}}})
    backfill(scene, days=2)
    scene.until(lambda: status(scene).get("reason") == "FailedCreate", "the failure to be reported")
    assert scene.event("FailedCreate", "october").type == "Warning"

    scene.patch("Schedule", "daily", {"spec": {"runTemplate": {"spec": {"params": {"day": "$(tick.date)"}}}}})

    assert reach(scene, "Completed")["progress"] == "2/2"


def test_ticks_after_its_creation_are_left_to_the_schedule(scene, operator):
    schedule(scene)
    now = datetime.fromtimestamp(time.time(), tz=UTC)
    times = {"from": now - timedelta(days=2), "to": now + timedelta(days=30)}
    spec = {word: moment.strftime("%Y-%m-%dT%H:%M:%SZ") for word, moment in times.items()}
    scene.create("Backfill", "october", {"schedule": {"name": "daily"}, **spec})

    assert reach(scene, "Completed")["ticks"] == 2
