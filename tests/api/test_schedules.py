"""What a Schedule promises, against a real API server, by a clock that the test sets.

No operator executes the runs here: the test says when they have finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from kubernetes import client as kubernetes_client

from penstock.api import names
from penstock.engine.keys import ObjectKey
from penstock.engine.machine.run.shutdown import ShutdownMode
from penstock.engine.timestamp import epoch, rfc3339
from penstock.kube.client import ApiClient
from penstock.kube.connection import Connection
from penstock.kube.kinds.schedule import Schedule
from penstock.kube.writer import Writer
from penstock_operator.metrics import Metrics
from penstock_operator.schedules.plan import Plan
from penstock_operator.schedules.run_owner import change_owner
from penstock_operator.schedules.runs import ScheduledRun
from tests.api.faults import FaultProxy, Seen
from tests.api.scene import Scene, task
from tests.api.schedule_scene import Clock, Controlling

pytestmark = pytest.mark.api

TEMPLATE = {"metadata": {"labels": {"team": "data"}}, "spec": {"flowSpec": {"tasks": [task()]}}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def controlling(connection, namespace, clock) -> Callable[..., Controlling]:
    """Starts controllers, one after the other, that go by the test's clock."""
    return lambda **options: Controlling(connection, namespace, clock, **options)


def schedule(scene: Scene, clock: Clock, name: str = "tick", **spec: Any) -> dict[str, Any]:
    if not {"cron", "interval", "at", "rrule"} & spec.keys():
        spec["cron"] = [clock.hourly]
    metadata = {"finalizers": spec.pop("finalizers")} if "finalizers" in spec else {}
    return scene.create("Schedule", name, {"runTemplate": TEMPLATE, **spec}, **metadata)


def status(scene: Scene, name: str = "tick") -> dict[str, Any]:
    found = scene.now["schedules"].get(name)
    return {} if found is None else found.status


def ready(scene: Scene, name: str = "tick") -> dict[str, Any]:
    return next(iter(status(scene, name).get("conditions", ())), {})


def run_of(tick: datetime, name: str = "tick") -> str:
    return f"{name}-{int(tick.timestamp()) // 60}"


def runs(scene: Scene) -> list[str]:
    return sorted(scene.now["flowruns"])


def armed(scene: Scene, name: str = "tick") -> None:
    """Wait until a Schedule is known."""
    scene.until(lambda: status(scene, name).get("timing"), f"the Schedule {name} to be reconciled")


def decided(scene: Scene, tick: datetime, name: str = "tick") -> dict[str, Any]:
    """Wait until a tick is dealt with, and return the status."""
    scene.until(
        lambda: epoch(status(scene, name).get("decidedTickTime", "1970-01-01T00:00:00Z")) >= tick.timestamp(),
        f"the tick {tick} of {name} to be decided",
    )
    return status(scene, name)


def fired(scene: Scene, tick: datetime, name: str = "tick") -> dict[str, Any]:
    """Wait until a tick has its run and that is stored, and return the status."""
    run = run_of(tick, name)
    scene.until(lambda: run in scene.now["flowruns"], f"the run {run}")
    scene.until(lambda: status(scene, name).get("lastRun") == run, f"{run} to be stored")
    return status(scene, name)


def finish(scene: Scene, tick: datetime, state: str = "Completed", name: str = "tick", **more: Any) -> None:
    """Say that the run of a tick has finished."""
    scene.patch("FlowRun", run_of(tick, name), {"status": {"state": state, **more}}, is_status=True)


# Names, labels, zones


def test_a_run_says_what_it_is_for(scene, controlling, clock):
    owner = schedule(
        scene,
        clock,
        timeZone="Asia/Kolkata",
        runTemplate={**TEMPLATE, "metadata": {"labels": {"team": "data"}, "annotations": {"why": "because"}}},
    )
    first = clock.hour(1, minutes=30)  # an hour that is not whole, in Kolkata
    with controlling() as controller:
        armed(scene)
        controller.turn_to(first + timedelta(seconds=2))
        shown = fired(scene, first)
        lateness = {
            sample.name: sample.value
            for metric in controller.metrics.schedule_lateness.collect()
            for sample in metric.samples
        }

    metadata = scene.run(run_of(first)).metadata
    zone = ZoneInfo("Asia/Kolkata")
    assert metadata.labels == {"team": "data", names.LABEL_SCHEDULE: "tick"}
    assert metadata.annotations == {
        "why": "because",
        names.ANNOTATION_TICK: first.astimezone(zone).isoformat(),
        names.ANNOTATION_SCHEDULE_UID: owner["metadata"]["uid"],
    }
    assert metadata.owner_references == ()
    assert [epoch(text) for text in shown["nextTickTimes"]] == [
        (first + timedelta(hours=hours)).timestamp() for hours in (1, 2, 3)
    ]
    assert epoch(shown["lastTickTime"]) == first.timestamp()
    assert lateness["penstock_schedule_lateness_seconds_sum"] == pytest.approx(2.0)


def owners(scene: Scene, run: str) -> list[str]:
    return [owner.kind for owner in scene.run(run).metadata.owner_references]


def test_a_schedule_that_is_deleted_or_renamed_leaves_its_active_runs_and_its_history(scene, controlling, clock):
    first, second = run_of(clock.hour(1)), run_of(clock.hour(2))
    schedule(scene, clock)
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
        finish(scene, clock.hour(1), "Completed")
        controller.turn_to(clock.hour(2))
        fired(scene, clock.hour(2))
        scene.delete("Schedule", "tick")
        scene.until(lambda: "tick" not in scene.now["schedules"], "the Schedule to be gone")
        # What has no owner, the garbage collector never deletes; what has one goes with it.
        assert owners(scene, first) == owners(scene, second) == []
        schedule(scene, clock, "other", onDelete="Delete")
        armed(scene, "other")
        controller.turn_to(clock.hour(3), "other")
        fired(scene, clock.hour(3), "other")
        assert owners(scene, run_of(clock.hour(3), "other")) == ["Schedule"]
    assert {first, second} <= set(scene.now["flowruns"])


def test_a_schedule_that_is_created_again_does_not_count_the_runs_of_the_one_before(scene, controlling, clock):
    schedule(scene, clock, onOverlap="Skip")
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
        scene.delete("Schedule", "tick")
        scene.until(lambda: "tick" not in scene.now["schedules"], "the Schedule to be gone")
        schedule(scene, clock, onOverlap="Skip")
        armed(scene)
        controller.turn_to(clock.hour(2))
        fired(scene, clock.hour(2))
    assert {run_of(clock.hour(1)), run_of(clock.hour(2))} <= set(scene.now["flowruns"])
    assert status(scene)["active"] == [run_of(clock.hour(2))]


def test_a_change_of_on_delete_is_carried_to_the_runs_that_exist(scene, controlling, clock):
    ended, active = run_of(clock.hour(1)), run_of(clock.hour(2))
    schedule(scene, clock)
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
        finish(scene, clock.hour(1), "Completed")
        controller.turn_to(clock.hour(2))
        fired(scene, clock.hour(2))
        backfilled = a_finished_run_of_a_backfill(scene, clock.hour(0))
        for wanted, kinds in (("Delete", ["Schedule"]), ("Orphan", []), ("Delete", ["Schedule"])):
            scene.patch("Schedule", "tick", {"spec": {"onDelete": wanted}})
            scene.until(
                lambda kinds=kinds: all(owners(scene, each) == kinds for each in (ended, active, backfilled)),
                f"the owners for {wanted}",
            )
        assert status(scene)["active"] == [active]
        assert names.ANNOTATION_BACKFILL_UID in scene.run(backfilled).metadata.annotations
        assert not any(each.controller for each in scene.run(backfilled).metadata.owner_references)


def a_finished_run_of_a_backfill(scene: Scene, tick: datetime) -> str:
    """Create it as an older version left it: with both as its owners."""
    uid, backfill = scene.now["schedules"]["tick"].metadata.uid, "22222222-2222-3333-4444-555555555555"
    common = {"apiVersion": names.API_VERSION, "name": "tick"}
    references = [
        {**common, "kind": "Backfill", "uid": backfill, "controller": True},
        {**common, "kind": "Schedule", "uid": uid, "controller": False},
    ]
    labels = {names.LABEL_SCHEDULE: "tick", names.LABEL_BACKFILL: "tick"}
    name = run_of(tick)
    scene.create("FlowRun", name, {"flowSpec": {"tasks": [task()]}}, labels=labels, ownerReferences=references)
    finish(scene, tick, "Completed")
    return name


def test_on_delete_is_carried_to_a_run_whose_status_and_owners_change_all_the_time(scene, connection, clock):
    made = schedule(scene, clock, onDelete="Delete")
    plan = Plan.from_schedule(msgspec.convert(made, Schedule))
    name = run_of(clock.hour(1))
    uid = scene.create("FlowRun", name, {"flowSpec": {"tasks": [task()]}})["metadata"]["uid"]
    other = schedule(scene, clock, "other")["metadata"]["uid"]
    owner = {"apiVersion": names.API_VERSION, "kind": "Schedule", "name": "other", "uid": other}

    async def scenario() -> None:
        async with FaultProxy(connection) as proxy, ApiClient(proxy.connection, metrics=Metrics()) as client:
            writer, key = Writer(client, may_write=lambda: True), ObjectKey(scene.namespace, "tick")
            held = proxy.hold(lambda seen: seen.method == "PATCH")
            changing = asyncio.create_task(change_owner(client, writer, key, plan, ScheduledRun(name, uid, None)))
            await proxy.wait_for_requests(lambda seen: seen.method == "PATCH", 1)
            scene.patch("FlowRun", name, {"status": {"state": "Running"}}, is_status=True)
            scene.patch("FlowRun", name, {"metadata": {"ownerReferences": [owner]}})
            held.released.set()
            await changing

    asyncio.run(scenario())
    scene.until(lambda: owners(scene, name) == ["Schedule"] * 2, "the Schedule to be an owner too")
    assert scene.run(name).metadata.annotations[names.ANNOTATION_SCHEDULE_UID] == made["metadata"]["uid"]


def test_the_runs_of_an_older_version_lose_their_owner_and_stay_the_schedules_own(scene, controlling, clock):
    made = schedule(scene, clock, onOverlap="Skip")
    reference = {
        "apiVersion": names.API_VERSION,
        "kind": "Schedule",
        "name": "tick",
        "uid": made["metadata"]["uid"],
        "controller": True,
    }
    old = run_of(clock.hour(1))
    labels = {names.LABEL_SCHEDULE: "tick"}
    scene.create("FlowRun", old, {"flowSpec": {"tasks": [task()]}}, labels=labels, ownerReferences=[reference])
    with controlling() as controller:
        armed(scene)
        scene.until(lambda: owners(scene, old) == [], "the owner to be removed")
        assert scene.run(old).metadata.annotations[names.ANNOTATION_SCHEDULE_UID] == made["metadata"]["uid"]
        controller.turn_to(clock.hour(2))
        decided(scene, clock.hour(2))
    assert status(scene)["active"] == [old]
    assert run_of(clock.hour(2)) not in scene.now["flowruns"]


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param({"name": "tick-x"}, id="a name that cannot be computed"),
        pytest.param({"labels": {names.LABEL_SCHEDULE: "other"}}, id="another name of the Schedule"),
        pytest.param({"annotations": {names.ANNOTATION_SCHEDULE_UID: "another"}}, id="another uid"),
        pytest.param({"annotations": {}}, id="no uid"),
        pytest.param({"labels": {}}, id="no label"),
        pytest.param({"recorded": "mallory"}, id="another recorded creator"),
    ],
)
def test_a_run_that_is_not_wholly_the_schedules_does_not_hold_it_up(scene, controlling, clock, forged):
    made = schedule(scene, clock, onOverlap="Skip")
    metadata = {
        "name": run_of(clock.hour(0)),
        "labels": {names.LABEL_SCHEDULE: "tick"},
        "annotations": {names.ANNOTATION_SCHEDULE_UID: made["metadata"]["uid"]},
        **forged,
    }
    if user := metadata.pop("recorded", None):
        metadata["annotations"]["audit.penstock.dev/created-by"] = user
    scene.create("FlowRun", metadata.pop("name"), {"flowSpec": {"tasks": [task()]}}, **metadata)
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
    assert status(scene)["active"] == [run_of(clock.hour(1))]


def test_a_run_of_a_flow_can_be_found_by_the_flow(scene, controlling, clock):
    schedule(scene, clock, runTemplate={"spec": {"flow": {"name": "orders"}}})
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
    assert scene.run(run_of(clock.hour(1))).metadata.labels == {
        names.LABEL_SCHEDULE: "tick",
        names.LABEL_FLOW: "orders",
    }


def test_params_may_name_the_tick_and_the_one_before(scene, controlling, clock):
    flow = {"params": [{"name": "day"}, {"name": "at"}], "tasks": [task()]}
    params = {"day": "$(tick.previous.date)", "at": "$(tick.date) $(tick.time)"}
    zone = ZoneInfo("America/New_York")
    schedule(
        scene,
        clock,
        cron=["0 3 * * *"],
        timeZone=zone.key,
        runTemplate={"spec": {"flowSpec": flow, "params": params}},
    )
    with controlling() as controller:
        armed(scene)
        tick = datetime.fromisoformat(status(scene)["nextTickTimes"][0]).astimezone(zone)
        controller.turn_to(tick)
        fired(scene, tick)
    assert epoch(scene.run(run_of(tick)).spec["scheduledTime"]) == tick.timestamp()
    assert scene.run(run_of(tick)).spec["params"] == {
        "day": f"{tick.date() - timedelta(days=1)}",
        "at": f"{tick.date()} {tick.isoformat()}",
    }


def test_all_kinds_of_ticks_make_runs_until_the_last(scene, controlling, clock):
    at, end = clock.hour(1, minutes=7), clock.hour(3, minutes=30)
    schedule(
        scene,
        clock,
        cron=[clock.hourly],
        at=[at.isoformat()],
        interval={"every": "1h", "anchor": clock.hour(0, minutes=40).isoformat()},
        startTime=clock.hour(1, minutes=5).isoformat(),
        endTime=end.isoformat(),
        onMissed={"policy": "All"},
    )
    want = [at, clock.hour(1, minutes=40), clock.hour(2), clock.hour(2, minutes=40), clock.hour(3)]
    with controlling() as controller:
        armed(scene)
        for tick in want:
            controller.turn_to(tick)
            fired(scene, tick)
        controller.turn_to(clock.hour(9))
        scene.until(lambda: ready(scene).get("reason") == "Ended", "the Schedule to have ended")
    assert runs(scene) == sorted(run_of(tick) for tick in want)
    assert "nextTickTimes" not in status(scene)
    assert ready(scene)["status"] == "True"


def test_every_way_to_write_a_cron_expression_is_taken(scene, controlling, clock):
    # @every is refused with what to write instead, see below
    written = [
        "*/15 0-6,20 * * *",
        "0 0 * * sun",
        "0 0 1 jan-mar *",
        "0 0 ? * MON-FRI",
        "0 0 L * ?",
        "@yearly",
        "@hourly",
    ]
    for number, expression in enumerate(written):
        schedule(scene, clock, f"s{number}", cron=[expression])
    with controlling():
        for number in range(len(written)):
            armed(scene, f"s{number}")
    for number, expression in enumerate(written):
        name = f"s{number}"
        assert ready(scene, name)["status"] == "True", expression
        ticks = [datetime.fromisoformat(text) for text in status(scene, name)["nextTickTimes"]]
        assert len(ticks) == 3, expression
        assert all(tick.second == 0 and tick.timestamp() > clock() for tick in ticks), expression


def test_a_night_on_which_clocks_are_set_has_one_run(scene, controlling, clock):
    # In 2027 Berlin sets its clocks on 28 March, 01:00Z, and back on 31 October, 01:00Z
    nights = {"spring": "2027-03-28", "autumn": "2027-10-31"}
    for name, night in nights.items():
        times = {"startTime": f"{night}T00:00:00", "endTime": f"{night}T12:00:00"}
        schedule(scene, clock, name, cron=["30 2 * * *"], timeZone="Europe/Berlin", **times)
    forward, back = (datetime.fromisoformat(text) for text in ("2027-03-28T01:00:00Z", "2027-10-31T00:30:00Z"))
    with controlling() as controller:
        for name, tick in (("spring", forward), ("autumn", back)):
            armed(scene, name)
            controller.turn_to(tick, name)
            fired(scene, tick, name)
            controller.turn_to(tick + timedelta(hours=5), name)
            scene.until(lambda name=name: ready(scene, name).get("reason") == "Ended", f"{name} to end")
    assert runs(scene) == sorted([run_of(forward, "spring"), run_of(back, "autumn")])
    assert scene.run(run_of(forward, "spring")).metadata.annotations[names.ANNOTATION_TICK].endswith("T03:00:00+02:00")


# What was missed


def test_a_tick_before_the_schedule_was_created_gets_no_run(scene, controlling, clock):
    schedule(scene, clock)
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
    assert runs(scene) == [run_of(clock.hour(1))]
    assert "missedTicks" not in status(scene)


@pytest.mark.parametrize(
    ("spec", "reconciled_at", "made", "missed"),
    [
        pytest.param({}, {"hours": 6, "minutes": 30}, [6], 5, id="the latest"),
        pytest.param({}, {"hours": 2000}, [2000], 1999, id="the latest of two thousand"),
        pytest.param({"onMissed": {"policy": "Skip"}}, {"hours": 6, "minutes": 30}, [], 6, id="none"),
        pytest.param({"onMissed": {"policy": "All"}}, {"hours": 3, "minutes": 30}, [1, 2, 3], 0, id="all"),
        pytest.param({"onMissed": {"policy": "All", "max": 2}}, {"hours": 4}, [3, 4], 2, id="two"),
        pytest.param({"onMissed": {"within": "200s"}}, {"hours": 3, "seconds": 150}, [3], 2, id="in time"),
        pytest.param({"onMissed": {"within": "200s"}}, {"hours": 3, "seconds": 250}, [], 3, id="too late"),
    ],
)
def test_ticks_missed_while_no_operator_ran(scene, controlling, clock, spec, reconciled_at, made, missed):
    schedule(scene, clock, **spec)
    with controlling():
        armed(scene)
    clock.now = clock.hour(reconciled_at["hours"], **{k: v for k, v in reconciled_at.items() if k != "hours"})
    with controlling():
        shown = decided(scene, clock.hour(reconciled_at["hours"]))
        if missed:
            assert scene.event("MissSchedule", "tick").type == "Warning"
        if missed > 100:
            assert scene.event("TooManyMissedTimes", "tick").type == "Warning"
    assert runs(scene) == sorted(run_of(clock.hour(hours)) for hours in made)
    assert shown.get("missedTicks", 0) == missed
    assert ("lastTickTime" in shown) == bool(made)
    # The window is for what was missed: what is to come comes as ever.
    assert epoch(shown["nextTickTimes"][0]) == clock.hour(reconciled_at["hours"] + 1).timestamp()


def test_a_clock_that_is_set_back_makes_no_tick_again(scene, controlling, clock):
    schedule(scene, clock, onMissed={"policy": "All"})
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(3))
        fired(scene, clock.hour(3))
        scene.delete("FlowRun", run_of(clock.hour(2)))
        scene.until(lambda: run_of(clock.hour(2)) not in scene.now["flowruns"], "a run to be deleted")
        controller.turn_to(clock.hour(1, minutes=30))
        controller.turn_to(clock.hour(4))
        fired(scene, clock.hour(4))
    assert runs(scene) == [run_of(clock.hour(hours)) for hours in (1, 3, 4)]


# Unfinished runs


def test_allow_lets_runs_overlap(scene, controlling, clock):
    schedule(scene, clock)
    with controlling() as controller:
        armed(scene)
        for hours in (1, 2):
            controller.turn_to(clock.hour(hours))
            fired(scene, clock.hour(hours))
        scene.until(lambda: status(scene)["activeRuns"] == 2, "both to be active")
    assert status(scene)["active"] == [run_of(clock.hour(1)), run_of(clock.hour(2))]


def test_skip_makes_no_run_while_one_is_active_and_the_tick_is_missed(scene, controlling, clock):
    schedule(scene, clock, onOverlap="Skip")
    schedule(scene, clock, "other", at=[clock.hour(2).isoformat()], onOverlap="Skip")
    with controlling() as controller:
        armed(scene)
        armed(scene, "other")
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
        controller.turn_to(clock.hour(2))
        assert decided(scene, clock.hour(2))["lastMissed"]["reason"] == "RunAlreadyActive"
        assert scene.event("RunAlreadyActive", "tick").type == "Normal"
        controller.reconcile("other")
        fired(scene, clock.hour(2), "other")
        # The tick that was missed stays missed.
        finish(scene, clock.hour(1))
        scene.until(lambda: status(scene)["activeRuns"] == 0, "the run to finish")
        controller.turn_to(clock.hour(3))
        fired(scene, clock.hour(3))
    assert runs(scene) == sorted([run_of(clock.hour(1)), run_of(clock.hour(3)), run_of(clock.hour(2), "other")])
    assert status(scene)["missedTicks"] == 1


def test_queue_starts_the_latest_tick_when_the_run_has_finished(scene, controlling, clock):
    schedule(scene, clock, onOverlap="Queue")
    with controlling() as controller:
        armed(scene)
        for hours in (1, 2, 3):
            controller.turn_to(clock.hour(hours))
            decided(scene, clock.hour(hours))
        assert [epoch(text) for text in status(scene)["queued"]] == [clock.hour(3).timestamp()]
    assert runs(scene) == [run_of(clock.hour(1))]
    assert status(scene)["lastMissed"]["reason"] == "QueueFull"
    # What waits is known to the next operator.
    with controlling():
        finish(scene, clock.hour(1))
        fired(scene, clock.hour(3))
    assert "queued" not in status(scene)


def test_queue_keeps_as_many_as_max_queued_and_no_longer_than_within(scene, controlling, clock):
    schedule(scene, clock, onOverlap="Queue", maxQueued=3, onMissed={"within": "90m"})
    with controlling() as controller:
        armed(scene)
        for hours in (1, 2, 3, 4):
            controller.turn_to(clock.hour(hours))
            decided(scene, clock.hour(hours))
        # The oldest of the three is two hours late by now.
        assert [epoch(text) for text in status(scene)["queued"]] == [clock.hour(h).timestamp() for h in (3, 4)]
        finish(scene, clock.hour(1))
        fired(scene, clock.hour(3))
        finish(scene, clock.hour(3))
        fired(scene, clock.hour(4))
    assert status(scene)["lastMissed"]["reason"] == "TooLate"


def test_replace_cancels_the_run_and_creates_the_new_one_when_it_has_ended(scene, controlling, clock):
    schedule(scene, clock, onOverlap="Replace")
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
        controller.turn_to(clock.hour(2))
        # Its finally tasks run: the new one waits for them.
        assert decided(scene, clock.hour(2))["queued"]
        controller.reconcile()
        assert runs(scene) == [run_of(clock.hour(1))]
        ((name, shutdown),) = controller.ended
        assert (name, shutdown.mode, shutdown.reason) == (run_of(clock.hour(1)), ShutdownMode.CANCEL, "RunReplaced")
        assert "Schedule tick" in shutdown.message
        finish(scene, clock.hour(1), "Cancelled", startTime=rfc3339(clock.hour(1).timestamp()))
        fired(scene, clock.hour(2))
        assert scene.event("Replaced", "tick").type == "Normal"
    assert runs(scene) == [run_of(clock.hour(1)), run_of(clock.hour(2))]


# Suspended, edited, deleted


def test_a_suspended_schedule_makes_no_run_and_then_the_latest(scene, controlling, clock):
    schedule(scene, clock)
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
        scene.patch("Schedule", "tick", {"spec": {"suspend": True}})
        scene.until(lambda: ready(scene).get("reason") == "Suspended", "the Schedule to be suspended")
        controller.turn_to(clock.hour(4))
        assert "nextTickTimes" not in status(scene)
        assert status(scene)["activeRuns"] == 1
        clock.now = clock.hour(4, minutes=30)
        scene.patch("Schedule", "tick", {"spec": {"suspend": False}})
        fired(scene, clock.hour(4))
    assert runs(scene) == [run_of(clock.hour(1)), run_of(clock.hour(4))]


def test_what_was_missed_while_suspended_may_be_too_late(scene, controlling, clock):
    schedule(scene, clock, onMissed={"within": "10m"}, suspend=True)
    with controlling() as controller:
        armed(scene)
        clock.now = clock.hour(4, minutes=30)
        scene.patch("Schedule", "tick", {"spec": {"suspend": False}})
        assert decided(scene, clock.hour(4))["missedTicks"] == 4
        controller.turn_to(clock.hour(5))
        fired(scene, clock.hour(5))
    assert runs(scene) == [run_of(clock.hour(5))]


def test_an_edit_of_the_timing_acts_from_now_on(scene, controlling, clock):
    schedule(scene, clock)
    with controlling():
        armed(scene)
    clock.now = clock.hour(5, minutes=20)
    scene.patch("Schedule", "tick", {"spec": {"timeZone": "Asia/Kolkata"}})
    with controlling() as controller:
        scene.until(lambda: status(scene)["observedGeneration"] == 2, "the edit to be seen")
        assert epoch(status(scene)["nextTickTimes"][0]) == clock.hour(5, minutes=30).timestamp()
        controller.turn_to(clock.hour(5, minutes=30))
        fired(scene, clock.hour(5, minutes=30))
    assert runs(scene) == [run_of(clock.hour(5, minutes=30))]


def test_an_edit_of_the_template_is_for_the_next_runs_only(scene, controlling, clock):
    schedule(scene, clock)
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
        scene.patch("Schedule", "tick", {"spec": {"runTemplate": {"metadata": {"labels": {"team": "other"}}}}})
        scene.until(lambda: status(scene)["observedGeneration"] == 2, "the edit to be seen")
        controller.turn_to(clock.hour(2))
        fired(scene, clock.hour(2))
    teams = [scene.run(run_of(clock.hour(hours))).metadata.labels["team"] for hours in (1, 2)]
    assert teams == ["data", "other"]


def test_a_schedule_that_is_being_deleted_makes_no_run(scene, controlling, clock):
    schedule(scene, clock, finalizers=["example.com/hold"])
    schedule(scene, clock, "other")
    scene.delete("Schedule", "tick")
    with controlling() as controller:
        armed(scene, "other")
        controller.turn_to(clock.hour(1))
        controller.reconcile("other")
        fired(scene, clock.hour(1), "other")
    assert runs(scene) == [run_of(clock.hour(1), "other")]
    scene.patch("Schedule", "tick", [{"op": "remove", "path": "/metadata/finalizers"}])


def test_with_a_schedule_that_wants_that_go_its_runs(scene, controlling, clock):
    schedule(scene, clock, onDelete="Delete")
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
        scene.delete("Schedule", "tick")
        scene.until(lambda: not scene.now["flowruns"], "the run to go with its Schedule")


# Crashes


@pytest.mark.parametrize("overlap", ["Allow", "Skip", "Queue", "Replace"])
def test_an_operator_that_dies_between_creating_and_recording_makes_no_second_run(scene, controlling, clock, overlap):
    schedule(scene, clock, onOverlap=overlap)
    with controlling():
        armed(scene)
    with controlling(dies_after="POST flowruns") as dying:
        dying.turn_to(clock.hour(1))
        scene.until(lambda: run_of(clock.hour(1)) in scene.now["flowruns"], "the run")
    assert "lastRun" not in status(scene)
    uid = scene.run(run_of(clock.hour(1))).metadata.uid
    with controlling():
        shown = fired(scene, clock.hour(1))
    assert shown["active"] == [run_of(clock.hour(1))]
    assert "missedTicks" not in shown
    assert scene.run(run_of(clock.hour(1))).metadata.uid == uid
    assert len(scene.ever["flowruns"]) == 1


def test_a_run_that_ended_before_it_was_recorded_is_not_made_again(scene, controlling, clock):
    schedule(scene, clock, history={"completed": 0})
    with controlling():
        armed(scene)
    with controlling(dies_after="POST flowruns") as dying:
        dying.turn_to(clock.hour(1))
        scene.until(lambda: run_of(clock.hour(1)) in scene.now["flowruns"], "the run")
    finish(scene, clock.hour(1))
    with controlling():
        scene.until(lambda: status(scene).get("lastRun") == run_of(clock.hour(1)), "the run to be recorded")
        scene.until(lambda: not scene.now["flowruns"], "history to keep none")
    assert len(scene.ever["flowruns"]) == 1


def test_an_operator_that_dies_while_it_replaces_a_run_leaves_it_to_the_next(scene, controlling, clock):
    schedule(scene, clock, onOverlap="Replace")
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
    with controlling(dies_after="PATCH schedules/status") as dying:
        dying.turn_to(clock.hour(2))
        scene.until(lambda: status(scene).get("queued"), "the tick to wait")
    with controlling() as successor:
        successor.reconcile()
        scene.event("Replaced", "tick")
        finish(scene, clock.hour(1), "Cancelled")
        fired(scene, clock.hour(2))
    assert [name for name, _ in successor.ended] == [run_of(clock.hour(1))]


def test_a_run_of_another_owner_with_the_name_of_a_tick_is_left_alone(scene, controlling, clock):
    schedule(scene, clock)
    scene.start(task(), name=run_of(clock.hour(1)))
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        assert decided(scene, clock.hour(1))["lastMissed"]["reason"] == "NameTaken"
        assert "does not belong to this Schedule" in scene.event("MissSchedule", "tick").message
        assert "lastRun" not in status(scene)
        assert status(scene).get("activeRuns", 0) == 0
        controller.turn_to(clock.hour(2))
        fired(scene, clock.hour(2))
    assert not scene.run(run_of(clock.hour(1))).metadata.owner_references


def test_a_run_that_names_the_schedule_as_owner_but_is_of_no_tick_blocks_nothing(scene, controlling, clock):
    owner = schedule(scene, clock, onOverlap="Skip")
    reference = {
        "apiVersion": names.API_VERSION,
        "kind": "Schedule",
        "name": "tick",
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    scene.create(
        "FlowRun",
        "stranger",
        {"flowSpec": {"tasks": [task()]}},
        labels={names.LABEL_SCHEDULE: "tick"},
        ownerReferences=[reference],
    )
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
    assert status(scene)["active"] == [run_of(clock.hour(1))]


def test_a_run_that_can_not_be_created_is_tried_again_under_its_name(scene, core, controlling, clock):
    hard = {"count/flowruns.penstock.dev": "0"}
    quota = kubernetes_client.V1ResourceQuota(
        metadata=kubernetes_client.V1ObjectMeta(name="none"), spec=kubernetes_client.V1ResourceQuotaSpec(hard=hard)
    )
    core.create_namespaced_resource_quota(scene.namespace, quota)
    schedule(scene, clock)
    schedule(scene, clock, "other", cron=["@yearly"])
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        scene.until(lambda: ready(scene).get("reason") == "CreateRefused", "the refusal to be reported")
        assert "is forbidden" in ready(scene)["message"]
        assert scene.event("FailedCreate", "tick").type == "Warning"
        core.delete_namespaced_resource_quota("none", scene.namespace)
        controller.turn_to(clock.hour(1, minutes=10))
        fired(scene, clock.hour(1))
        assert ready(scene)["status"] == "True"
    assert runs(scene) == [run_of(clock.hour(1))]


def test_a_create_whose_answer_was_lost_makes_one_run(scene, proxy, clock):
    schedule(scene, clock)
    through = Connection.load({"KUBECONFIG": str(proxy.kubeconfig)})
    proxy.fail(lambda seen: seen.method == "POST" and seen.path.endswith("/flowruns"), times=1, lose_reply=True)
    with Controlling(through, scene.namespace, clock) as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
        scene.until(lambda: status(scene)["activeRuns"] == 1, "the run to be active")
    assert len(scene.ever["flowruns"]) == 1


def test_runs_that_are_due_are_created_before_anything_is_stored(scene, proxy, clock):
    schedule(scene, clock)
    schedule(scene, clock, "other")
    through = Connection.load({"KUBECONFIG": str(proxy.kubeconfig)})
    held: list[Seen] = []

    def is_first_create(seen: Seen) -> bool:
        if seen.method == "POST" and seen.path.endswith("/flowruns") and not held:
            held.append(seen)
            return True
        return False

    def is_of_status(seen: Seen) -> bool:
        return seen.method == "PATCH" and seen.path.endswith("/status")

    with Controlling(through, scene.namespace, clock) as controller:
        armed(scene)
        armed(scene, "other")
        stored = proxy.seen(is_of_status)
        with proxy.holding(is_first_create):
            controller.turn_to(clock.hour(1))
            proxy.wait_for_requests(lambda seen: seen in held, 1)
            controller.reconcile("other")
            assert scene.event("SuccessfulCreate", "other")
            # One of two runs is still being created, so nothing is stored; but what was decided counts.
            controller.reconcile("other")
            assert proxy.seen(is_of_status) == stored
        fired(scene, clock.hour(1))
        fired(scene, clock.hour(1), "other")
    assert len(scene.ever["flowruns"]) == 2


def test_nothing_is_reported_of_runs_that_a_namespace_in_deletion_refuses(scene, proxy, core, clock):
    schedule(scene, clock, finalizers=["example.com/hold"])
    through = Connection.load({"KUBECONFIG": str(proxy.kubeconfig)})

    def creates(plural):
        return proxy.seen(lambda seen: seen.method == "POST" and seen.path.endswith(f"/{plural}"))

    with Controlling(through, scene.namespace, clock) as controller:
        armed(scene)
        # The controller does not know that the Schedule is deleted with its namespace.
        with proxy.holding(lambda seen: seen.is_watch and seen.path.endswith("/schedules")):
            core.delete_namespace(scene.namespace)
            scene.until(
                lambda: scene.now["schedules"]["tick"].metadata.deletion_timestamp, "the namespace to be emptied"
            )
            for hours in (1, 2):
                controller.turn_to(clock.hour(hours))
                proxy.wait_for_requests(lambda seen: seen.method == "POST" and seen.path.endswith("/flowruns"), hours)
    assert (creates("flowruns"), creates("events")) == (2, 0)
    assert "lastMissed" not in status(scene)
    scene.patch("Schedule", "tick", [{"op": "remove", "path": "/metadata/finalizers"}])


# The end of runs


def is_watch_of_finished_runs(seen: Seen) -> bool:
    return seen.is_watch and "status.state!=Running" in seen.query.get("fieldSelector", "")


def test_an_end_is_reported_though_the_watch_of_finished_runs_is_behind(scene, proxy, clock):
    schedule(scene, clock)
    through = Connection.load({"KUBECONFIG": str(proxy.kubeconfig)})
    with Controlling(through, scene.namespace, clock) as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
        scene.until(lambda: status(scene).get("activeRuns") == 1, "the run to be active")
        assert proxy.seen(is_watch_of_finished_runs) == 1
        with proxy.holding(is_watch_of_finished_runs):
            finish(scene, clock.hour(1), completionTime="2026-01-02T00:00:00Z")
            assert run_of(clock.hour(1)) in scene.event("SawCompletedRun", "tick").message
            scene.until(lambda: status(scene)["activeRuns"] == 0, "none to be active")
            assert "lastSuccessTime" not in status(scene)
        scene.until(lambda: status(scene).get("lastSuccessTime"), "the success to be known")
    events = scene.core.list_namespaced_event(scene.namespace).items
    assert sorted(event.reason for event in events) == ["SawCompletedRun", "SuccessfulCreate"]


def test_ticks_whose_runs_did_not_run_are_counted_once_each(scene, controlling, clock):
    schedule(scene, clock, history={"failed": 0})
    with controlling() as controller:
        armed(scene)
        for hours in (1, 2, 3):
            controller.turn_to(clock.hour(hours))
            fired(scene, clock.hour(hours))
        scene.until(lambda: status(scene).get("activeRuns") == 3, "three to be active")
        finish(scene, clock.hour(1), "Skipped", completionTime="2026-01-01T00:00:00.100Z")
        scene.until(lambda: status(scene).get("notRunTicks") == 1, "the first to be counted")
        finish(scene, clock.hour(2), "Cancelled", completionTime="2026-01-01T00:00:00.200Z")
        scene.until(lambda: status(scene).get("notRunTicks") == 2, "the second to be counted")
        finish(scene, clock.hour(3), "Completed", completionTime="2026-01-01T00:00:00.300Z")
        scene.until(lambda: status(scene)["activeRuns"] == 0, "none to be active")
        assert status(scene)["notRunTicks"] == 2
        assert status(scene)["lastNotRunTime"] == "2026-01-01T00:00:00.200Z"
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(3, minutes=1))
        assert status(scene)["notRunTicks"] == 2


def test_ends_are_reported_and_the_last_success_never_goes_back(scene, controlling, clock):
    schedule(scene, clock)
    with controlling() as controller:
        armed(scene)
        for hours in (1, 2, 3):
            controller.turn_to(clock.hour(hours))
            fired(scene, clock.hour(hours))
        # Ends are reported of the runs that the status has named.
        scene.until(lambda: status(scene).get("activeRuns") == 3, "three to be active")
        finish(scene, clock.hour(1), completionTime="2026-01-02T00:00:00Z")
        scene.until(lambda: status(scene).get("lastSuccessTime") == "2026-01-02T00:00:00Z", "the success")
        finish(scene, clock.hour(2), completionTime="2026-01-01T00:00:00Z")
        scene.until(lambda: status(scene)["activeRuns"] == 1, "two to finish")
        assert status(scene)["lastSuccessTime"] == "2026-01-02T00:00:00Z"
        assert "state: Completed" in scene.event("SawCompletedRun", "tick").message
        scene.delete("FlowRun", run_of(clock.hour(3)))
        scene.until(lambda: status(scene)["activeRuns"] == 0, "none to be active")
        assert run_of(clock.hour(3)) in scene.event("MissingRun", "tick").message
        # The tick of the run that a person deleted gets no other.
        controller.turn_to(clock.hour(3, minutes=1))
        controller.turn_to(clock.hour(4))
        fired(scene, clock.hour(4))
    assert runs(scene) == [run_of(clock.hour(hours)) for hours in (1, 2, 4)]


def test_history_keeps_the_latest_of_those_that_completed_and_of_the_others(scene, controlling, clock):
    schedule(scene, clock, history={"completed": 2, "failed": 1})
    ends = {1: "Completed", 2: "Failed", 3: "Completed", 4: "Crashed", 5: "Completed", 6: None}
    with controlling() as controller:
        armed(scene)
        for hours in ends:
            controller.turn_to(clock.hour(hours))
            fired(scene, clock.hour(hours))
        for hours, state in ends.items():
            if state is not None:
                finish(scene, clock.hour(hours), state)
        kept = [run_of(clock.hour(hours)) for hours in (3, 4, 5, 6)]
        scene.until(lambda: runs(scene) == kept, "history to be kept")
        assert scene.event("SuccessfulDelete", "tick").type == "Normal"
        # Unfinished runs are never counted.
        controller.turn_to(clock.hour(7))
        fired(scene, clock.hour(7))
    assert runs(scene) == [*kept, run_of(clock.hour(7))]


# Jitter


def test_a_run_with_jitter_comes_after_its_tick_and_is_named_after_it(scene, controlling, clock):
    schedule(scene, clock, jitter="50m")
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        for minute in range(1, 51):
            controller.turn_to(clock.hour(1, minutes=minute))
        fired(scene, clock.hour(1))
    assert runs(scene) == [run_of(clock.hour(1))]


# What is invalid


@pytest.mark.parametrize(
    ("spec", "reason", "said"),
    [
        # What the webhook refuses may have come past it, or have become so
        pytest.param({"cron": ["61 * * * *"]}, "InvalidSchedule", "spec.cron[0]", id="no such minute"),
        pytest.param({"cron": ["59 23 31 2 *"]}, "InvalidSchedule", "spec.cron[0]", id="a day that never comes"),
        pytest.param({"cron": ["TZ=UTC 0 * * * *"]}, "InvalidSchedule", "timeZone", id="a zone in cron"),
        pytest.param({"cron": ["@every 1h"]}, "InvalidSchedule", "interval: {every: 1h}", id="every"),
        pytest.param({"rrule": ["FREQ=HOURLY"]}, "InvalidSchedule", "spec.rrule[0]", id="no such rule"),
        pytest.param({"rrule": ["X" * 1000] * 32}, "InvalidSchedule", "spec.rrule[0]", id="more to say than fits"),
        pytest.param({"timeZone": "Europe/Berlon"}, "UnknownTimeZone", "Europe/Berlin", id="no such zone"),
    ],
)
def test_an_invalid_schedule_is_not_ready_and_the_others_continue(scene, controlling, clock, spec, reason, said):
    schedule(scene, clock, "bad", **spec)
    schedule(scene, clock)
    with controlling() as controller:
        armed(scene)
        scene.until(lambda: said in ready(scene, "bad").get("message", ""), f"{said} to be named")
        assert (ready(scene, "bad")["status"], ready(scene, "bad")["reason"]) == ("False", reason)
        assert scene.event(reason, "bad").type == "Warning"
        controller.turn_to(clock.hour(1))
        controller.reconcile("bad")
        fired(scene, clock.hour(1))
        scene.patch("Schedule", "bad", {"spec": {"cron": [clock.hourly], "rrule": None, "timeZone": None}})
        scene.until(lambda: ready(scene, "bad").get("status") == "True", "the corrected one to be armed")
    assert runs(scene) == [run_of(clock.hour(1))]


def test_a_zone_that_disappears_stops_its_schedule_and_nothing_else(scene, controlling, clock, monkeypatch):
    schedule(scene, clock, timeZone="Europe/Berlin")
    with controlling() as controller:
        armed(scene)
        controller.turn_to(clock.hour(1))
        fired(scene, clock.hour(1))
    assert ready(scene)["status"] == "True"

    def no_zones(name: str) -> ZoneInfo:
        raise FileNotFoundError(name)

    monkeypatch.setattr("penstock.engine.ticks.zone.ZoneInfo", no_zones)
    with controlling() as controller:
        scene.until(lambda: ready(scene).get("reason") == "UnknownTimeZone", "the zone to be missed")
        controller.turn_to(clock.hour(2))
    monkeypatch.undo()
    with controlling():
        fired(scene, clock.hour(2))
    assert ready(scene)["status"] == "True"
