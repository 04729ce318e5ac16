"""Schedules against a real API server: by the real operator, and by a controller whose clock the test sets."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from penstock.api import names
from penstock.engine.timestamp import epoch, rfc3339
from penstock_operator.client import ApiClient
from penstock_operator.metrics import Metrics
from penstock_operator.recorder import EventRecorder
from penstock_operator.reflector import EventType, Reflector
from penstock_operator.resource import SCHEDULES
from penstock_operator.schedules import ScheduleController
from penstock_operator.writer import Writer
from tests.api.replica import Replica
from tests.api.scene import DEADLINE_S, Scene, Seen, task

pytestmark = pytest.mark.api

MINUTE_S = 60
EVERY_MINUTE = "* * * * *"
YEARLY = "0 0 1 1 *"
TEMPLATE = {"metadata": {"labels": {"team": "data"}}, "spec": {"flowSpec": {"tasks": [task()]}}}


class Clock:
    """Real time, moved ahead; it never stands still, so that timers work."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead_s

    def turn_to_next_minute(self) -> int:
        """Move on to a moment before the next minute; returns that minute, counted from the epoch."""
        minute = int(self()) // MINUTE_S + 1
        self._ahead_s += max(minute * MINUTE_S - self() - 0.5, 0.0)
        return minute


@contextlib.asynccontextmanager
async def controller(connection, namespace: str, clock: Clock) -> AsyncIterator[ScheduleController]:
    """A controller that hears of the namespace's Schedules."""
    failures: list[BaseException] = []
    async with ApiClient(connection, metrics=Metrics()) as client:
        writer = Writer(client, in_flight=4, may_write=lambda: True)
        made = ScheduleController(
            client,
            resource=SCHEDULES,
            kind="Schedule",
            writer=writer,
            recorder=EventRecorder(writer, instance="test"),
            fail=failures.append,
            clock=clock,
        )
        reading: set[asyncio.Task[None]] = set()

        async def read(name: str) -> None:
            reply = await client.request("GET", SCHEDULES.path(namespace, name))
            made.receive(EventType.MODIFIED, msgspec.json.decode(reply.body))

        def hear(event: EventType, item: Seen) -> None:
            assert event is not EventType.DELETED
            reading.add(asyncio.create_task(read(item.metadata.name)))

        reflector = Reflector(client, SCHEDULES, kind=Seen, on_event=hear, namespace=namespace)
        tasks = [asyncio.create_task(reflector.run()), asyncio.create_task(made.work())]
        try:
            yield made
        finally:
            for running in [*tasks, *reading]:
                running.cancel()
            await asyncio.gather(*tasks, *reading, return_exceptions=True)
    assert not failures


def schedule(scene: Scene, cron: str = EVERY_MINUTE, name: str = "tick", **spec: Any) -> dict[str, Any]:
    return scene.create("Schedule", name, {"cron": [cron], "runTemplate": TEMPLATE, **spec})


def status(scene: Scene, name: str = "tick") -> dict[str, Any]:
    found = scene.now["schedules"].get(name)
    return {} if found is None else found.status


def ready(scene: Scene, name: str = "tick") -> dict[str, Any]:
    return next(iter(status(scene, name).get("conditions", ())), {})


# Ticks, by a clock that the test sets


def test_each_tick_makes_one_run_and_a_restart_none(scene, connection):
    # C20, C21, C24, B40
    clock = Clock()
    owner = schedule(scene)
    minutes = []

    async def live_through(ticks: int) -> None:
        for _ in range(ticks):
            minutes.append(clock.turn_to_next_minute())
            name = f"tick-{minutes[-1]}"
            # Restarted for each: nothing is remembered, and nothing is made up or doubled.
            async with controller(connection, scene.namespace, clock):
                await asyncio.to_thread(scene.until, lambda name=name: name in scene.now["flowruns"], f"the run {name}")
                await asyncio.to_thread(
                    scene.until, lambda name=name: status(scene).get("lastRun") == name, "the tick to be stored"
                )

    asyncio.run(live_through(2))

    runs = scene.now["flowruns"]
    assert sorted(runs) == [f"tick-{minute}" for minute in minutes]
    made = scene.custom.get_namespaced_custom_object(
        names.GROUP, names.VERSION, scene.namespace, "flowruns", f"tick-{minutes[0]}"
    )
    metadata = made["metadata"]
    tick = datetime.fromtimestamp(minutes[0] * MINUTE_S, tz=UTC)
    assert metadata["labels"] == {"team": "data", names.LABEL_SCHEDULE: "tick"}
    assert metadata["annotations"] == {names.ANNOTATION_TICK: tick.isoformat()}
    (reference,) = metadata["ownerReferences"]
    assert (reference["uid"], reference["controller"]) == (owner["metadata"]["uid"], True)
    assert epoch(status(scene)["lastTickTime"]) == minutes[-1] * MINUTE_S
    scene.until(
        lambda: epoch(status(scene)["nextTickTime"]) == (minutes[-1] + 1) * MINUTE_S, "the next tick to be stored"
    )


# By the real operator


@pytest.fixture
def operator(kubeconfig, crds, namespace, tmp_path) -> Iterator[Replica]:
    lease = f"schedules-{uuid.uuid4().hex[:8]}"
    with Replica(kubeconfig, tmp_path, namespace=namespace, lease=lease, identity="one") as replica:
        yield replica
    assert "Traceback" not in replica.log


def missed(scene: Scene, minutes: int, name: str = "tick") -> None:
    """Make a Schedule look as if no operator had run for so long."""
    then = {"timing": f"{EVERY_MINUTE} UTC", "timingSince": rfc3339(time.time() - minutes * MINUTE_S)}
    scene.patch("Schedule", name, {"status": then}, is_status=True)


def test_of_the_ticks_missed_while_no_operator_ran_the_latest_makes_one_run(scene, kubeconfig, tmp_path):
    # C9, C23
    schedule(scene, suspend=True)
    missed(scene, minutes=500)
    scene.patch("Schedule", "tick", {"spec": {"suspend": None}})
    before = int(time.time()) // MINUTE_S

    with Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=scene.namespace):
        scene.until(lambda: status(scene).get("lastRun"), "a run to be made")

    # The minute may have changed meanwhile, and that is a tick of its own.
    after = int(time.time()) // MINUTE_S
    assert set(scene.now["flowruns"]) <= {f"tick-{minute}" for minute in range(before, after + 1)}
    assert len(scene.now["flowruns"]) >= 1


def test_a_suspended_schedule_makes_no_run_and_says_so(scene, operator):
    # C18
    schedule(scene, suspend=True)
    scene.until(lambda: ready(scene).get("reason") == "Suspended", "the Schedule to be looked at")

    missed(scene, minutes=5)
    scene.patch("Schedule", "tick", {"spec": {"runTemplate": {"metadata": {"labels": {"team": "other"}}}}})
    scene.until(lambda: status(scene)["observedGeneration"] == 2, "the Schedule to be looked at again")

    assert status(scene).get("nextTickTime") is None
    assert not scene.now["flowruns"]


def test_an_edit_of_the_cron_counts_from_now_and_makes_nothing_up(scene, operator):
    # C29
    schedule(scene, YEARLY)
    scene.until(lambda: ready(scene).get("status") == "True", "the Schedule to be armed")
    first = status(scene)["nextTickTime"]

    scene.patch("Schedule", "tick", {"spec": {"cron": ["0 0 1 * *"]}})

    scene.until(lambda: status(scene)["observedGeneration"] == 2, "the edit to be seen")
    assert epoch(status(scene)["nextTickTime"]) < epoch(first)
    assert "lastRun" not in status(scene)
    assert not scene.now["flowruns"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        pytest.param({"cron": ["61 * * * *"]}, "spec.cron[0]", id="no such minute"),
        pytest.param({"timeZone": "Europe/Berlon"}, "Europe/Berlin", id="no such zone"),
        pytest.param({"cron": ["59 23 31 2 *"]}, "spec.cron[0]", id="a day that never comes"),
    ],
)
def test_a_schedule_that_cannot_work_is_not_ready_and_the_others_go_on(scene, operator, spec, said):
    # C2, C3, C5
    schedule(scene, name="bad", **({"cron": EVERY_MINUTE} | {k: v for k, v in spec.items() if k != "cron"}))
    scene.patch("Schedule", "bad", {"spec": spec})
    schedule(scene, YEARLY)

    scene.until(lambda: said in ready(scene, "bad").get("message", ""), f"{said} to be named")
    assert ready(scene, "bad")["status"] == "False"
    assert scene.event("InvalidSchedule", "bad").type == "Warning"
    scene.until(lambda: ready(scene).get("status") == "True", "the other to be armed")
    assert operator.is_healthy()

    scene.patch("Schedule", "bad", {"spec": {"cron": [YEARLY], "timeZone": None}})
    scene.until(lambda: ready(scene, "bad").get("status") == "True", "the corrected one to be armed", DEADLINE_S)
