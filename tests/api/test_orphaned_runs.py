"""How long the runs of Schedules that are gone are kept."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from penstock.api import names
from penstock.engine.keys import ObjectKey
from penstock.kube.client import ApiClient
from penstock.kube.connection import Connection
from penstock.kube.writer import Writer
from penstock_operator.flow_defaults.in_force import NamespaceDefaults
from penstock_operator.flows.store import FlowStore
from penstock_operator.metrics import Metrics
from penstock_operator.retention.kept_runs import RunPolicy
from penstock_operator.retention.orphans import OrphanedRuns
from penstock_operator.schedules.runs import ScheduleRuns
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

DAY_S = 86_400.0
YEARLY = {"cron": ["0 0 1 1 *"], "suspend": True}


def a_finished_run(
    scene: Scene, schedule: str, uid: str, minute: int, *, flow: str = "", backfill: str | None = None
) -> str:
    name = f"{schedule}-{minute}"
    labels = {names.LABEL_SCHEDULE: schedule} | ({names.LABEL_FLOW: flow} if flow else {})
    spec = {"flow": {"name": flow}} if flow else {"flowSpec": {"tasks": [task()]}}
    annotations = {names.ANNOTATION_SCHEDULE_UID: uid}
    if backfill is not None:
        annotations[names.ANNOTATION_BACKFILL_UID] = backfill
    scene.create("FlowRun", name, spec, labels=labels, annotations=annotations)
    ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    scene.patch("FlowRun", name, {"status": {"state": "Completed", "completionTime": ended}}, is_status=True)
    return name


def sweep(connection: Connection, namespace: str, *, later_s: float, kept: dict[str, float]) -> None:
    """Remove what is due then; `kept`: how long Flows keep their runs."""

    def policy_of(flow: ObjectKey) -> RunPolicy | None:
        return RunPolicy(kept[flow.name], None) if flow.name in kept else None

    async def run() -> None:
        async with ApiClient(connection, metrics=Metrics()) as client:
            runs = ScheduleRuns()
            reflectors = runs.reflectors(client, [namespace])
            watching = [asyncio.create_task(reflector.run()) for reflector in reflectors]
            for reflector in reflectors:
                await reflector.synced.wait()
            writer = Writer(client, work_in_flight=4, may_write=lambda: True)
            await OrphanedRuns(
                client,
                writer,
                runs=runs,
                policy_of=policy_of,
                has_no_retention=FlowStore(client, writer, NamespaceDefaults(client)).has_no_retention,
                metrics=Metrics(),
                clock=lambda: time.time() + later_s,
            ).sweep()
            for each in watching:
                each.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    asyncio.run(run())


def test_an_orphan_is_kept_for_168_hours_where_its_flow_does_not_say(scene: Scene, connection: Connection):
    made: Any = scene.create("Schedule", "lives", {**YEARLY, "runTemplate": {"spec": {"flow": {"name": "orders"}}}})
    gone = "11111111-2222-3333-4444-555555555555"
    inline = a_finished_run(scene, "gone", gone, 1)
    plain = a_finished_run(scene, "gone", gone, 2, flow="orders")
    kept = a_finished_run(scene, "gone", gone, 3, flow="keeps")
    history = a_finished_run(scene, "lives", made["metadata"]["uid"], 4)
    of_the_one_before = a_finished_run(scene, "lives", gone.replace("1", "9"), 5)
    scene.create("Flow", "unvalidated", {"tasks": [task()], "retention": {"completed": "720h"}})
    scene.create("Flow", "silent", {"tasks": [task()]})
    unvalidated = a_finished_run(scene, "gone", gone, 6, flow="unvalidated")
    silent = a_finished_run(scene, "gone", gone, 7, flow="silent")
    backfilled = a_finished_run(scene, "gone", gone, 8, backfill="22222222-2222-3333-4444-555555555555")
    everything = {backfilled, unvalidated, silent, inline, plain, kept, history, of_the_one_before}

    sweep(connection, scene.namespace, later_s=6.9 * DAY_S, kept={})
    assert everything <= set(scene.now["flowruns"])
    sweep(connection, scene.namespace, later_s=7.1 * DAY_S, kept={"keeps": 30 * DAY_S})
    scene.until(lambda: set(scene.now["flowruns"]) == {kept, history, unvalidated}, "the orphans to be removed")
