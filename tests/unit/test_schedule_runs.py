"""Which runs a Schedule has, as the watches show them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.api import names
from penstock.engine.keys import ObjectKey
from penstock.kube.kinds.run_summary import RunSummary
from penstock.kube.metadata import PartialObject
from penstock.kube.reflector import EventType
from penstock_operator.schedules.runs import ScheduleRuns, ScheduleUid

LEFT, OTHER = "schedule-1", "schedule-2"


def finished_run(uid: str, tick: int, schedule: str | None) -> RunSummary:
    metadata: dict[str, Any] = {"name": f"tick-{tick}", "namespace": "x", "uid": uid}
    if schedule is not None:
        metadata["labels"] = {names.LABEL_SCHEDULE: "tick"}
        metadata["annotations"] = {names.ANNOTATION_SCHEDULE_UID: schedule}
    return msgspec.convert({"metadata": metadata, "status": {"state": "Completed"}}, RunSummary)


@pytest.mark.parametrize("schedule", [OTHER, None])
def test_a_finished_run_that_becomes_another_schedules_is_no_longer_the_first_ones(schedule):
    notified: list[ObjectKey] = []
    runs = ScheduleRuns()
    runs.notify_on_change(notified.append)
    runs.on_finished(EventType.ADDED, finished_run("a", 1, LEFT))
    runs.on_finished(EventType.ADDED, finished_run("b", 2, LEFT))
    notified.clear()

    runs.on_finished(EventType.MODIFIED, finished_run("a", 1, schedule))

    assert ObjectKey("x", "tick") in notified
    assert [run.uid for run in runs.finished(ScheduleUid("x", LEFT))] == ["b"]
    runs.on_finished(EventType.DELETED, finished_run("a", 1, schedule))
    assert [(uid, [run.uid for run in found]) for _, uid, found in runs.finished_of_all()] == [(LEFT, ["b"])]


@pytest.mark.parametrize("schedule", [OTHER, None])
def test_an_active_run_that_becomes_another_schedules_does_not_hold_up_the_first_one(schedule):
    notified: list[ObjectKey] = []
    runs = ScheduleRuns()
    runs.notify_on_change(notified.append)
    for owner in (LEFT, schedule):
        metadata = finished_run("a", 1, owner).metadata
        runs.on_unfinished(EventType.MODIFIED, PartialObject(metadata=metadata))

    assert runs.active(ScheduleUid("x", LEFT)) == []
    assert [run.uid for run in runs.active(ScheduleUid("x", OTHER))] == (["a"] if schedule else [])
    assert len(notified) > 1
