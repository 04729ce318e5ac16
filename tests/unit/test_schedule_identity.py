"""Whether a Schedule or a Backfill created a run: all that they write has to agree."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from penstock.api import names
from penstock.engine.names import event_run_name, repeated_run_name
from penstock.kube.metadata import ObjectMeta
from penstock_operator.schedules.identity import (
    ScheduleReference,
    backfilled_schedule_of,
    run_name,
    schedule_of,
    scheduled_tick_of,
)

TICK = datetime(2026, 10, 1, tzinfo=UTC)
FIRST = run_name("daily", TICK)
REPEATED = repeated_run_name(FIRST, "s", 2)
EVENT = event_run_name("daily", "s", "push", "7")
SCHEDULE = ScheduleReference("daily", "s")
LABELS = {names.LABEL_SCHEDULE: "daily"}
NOTES = {names.ANNOTATION_SCHEDULE_UID: "s", names.ANNOTATION_TICK: TICK.isoformat()}
PUSH: dict[str, Any] = {
    "labels": LABELS | {names.LABEL_EVENT: "push"},
    "annotations": NOTES | {names.ANNOTATION_EVENT: "7"},
}
THIRD: dict[str, Any] = {"annotations": NOTES | {names.ANNOTATION_REPETITION: "2", names.ANNOTATION_BACKFILL_UID: "b"}}


def owner(kind: str, *, name: str = "daily", uid: str = "s", controller: bool = True) -> dict[str, Any]:
    return {"apiVersion": names.API_VERSION, "kind": kind, "name": name, "uid": uid, "controller": controller}


OWNED: dict[str, Any] = {"ownerReferences": [owner("Schedule")]}
BACKFILLED: dict[str, Any] = {"ownerReferences": [owner("Backfill", name="october", uid="b")]}


def run(name: str = FIRST, **fields: Any) -> ObjectMeta:
    return msgspec.convert({"name": name, "labels": LABELS, "annotations": NOTES, **fields}, ObjectMeta)


@pytest.mark.parametrize(
    "existing",
    [
        pytest.param(run(), id="of a tick"),
        pytest.param(run(**OWNED), id="of a tick, with its owner"),
        pytest.param(run(**OWNED, annotations={}), id="of an earlier version"),
        pytest.param(run(EVENT, **PUSH), id="of an event"),
        pytest.param(run(EVENT, **PUSH, **OWNED), id="of an event, with its owner"),
        pytest.param(
            run(EVENT, **OWNED, labels=PUSH["labels"] | {names.LABEL_RESTORED: "true"}),
            id="restored under another uid",
        ),
    ],
)
def test_a_run_of_a_schedule(existing):
    assert schedule_of(existing) == SCHEDULE


RECORDED: dict[str, Any] = {"annotations": NOTES | {names.ANNOTATION_CREATED_BY: "eve"}}


@pytest.mark.parametrize("owned", [{}, OWNED], ids=["without an owner", "with an owner"])
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        pytest.param("innocent", {}, id="another name"),
        pytest.param(FIRST, {"labels": {}}, id="no label"),
        pytest.param(FIRST, {"labels": {names.LABEL_SCHEDULE: "other"}}, id="the label of another"),
        pytest.param(FIRST, RECORDED, id="created by somebody"),
        pytest.param(EVENT, {}, id="the name of an event alone"),
        pytest.param(EVENT, PUSH | {"annotations": NOTES | {names.ANNOTATION_EVENT: "8"}}, id="another event"),
        pytest.param(REPEATED, {"annotations": NOTES | {names.ANNOTATION_REPETITION: "2"}}, id="a repetition"),
    ],
)
def test_a_run_that_only_looks_like_one_of_a_schedule(name, fields, owned):
    assert schedule_of(run(name, **fields, **owned)) is None
    assert scheduled_tick_of(run(name, **fields, **owned)) is None


def test_an_owner_and_a_note_that_disagree_prove_nothing():
    assert schedule_of(run(ownerReferences=[owner("Schedule", uid="other")])) is None
    assert schedule_of(run(ownerReferences=[owner("Schedule", name="other")])) is None
    assert schedule_of(run(ownerReferences=[owner("FlowRun")])) is None


@pytest.mark.parametrize(
    ("existing", "number"),
    [
        pytest.param(run(), 0, id="of a Schedule"),
        pytest.param(run(**OWNED), 0, id="of a Schedule that owns it"),
        pytest.param(run(**BACKFILLED), 0, id="of a Backfill"),
        pytest.param(run(REPEATED, **THIRD, **BACKFILLED), 2, id="a repetition of a Backfill"),
        pytest.param(run(REPEATED, **THIRD), 2, id="a repetition that outlives its Backfill"),
        pytest.param(run(REPEATED, **THIRD, ownerReferences=[owner("Schedule", controller=False)]), 2, id="of both"),
        pytest.param(
            run(
                REPEATED,
                **BACKFILLED,
                annotations={names.ANNOTATION_TICK: TICK.isoformat(), names.ANNOTATION_REPETITION: "2"},
            ),
            2,
            id="of a Backfill of an earlier version",
        ),
    ],
)
def test_which_tick_a_run_is_for(existing, number):
    found = scheduled_tick_of(existing)
    assert found is not None
    assert (found.schedule.name, found.tick, found.number) == ("daily", TICK, number)


@pytest.mark.parametrize(
    "existing",
    [
        pytest.param(run("innocent", annotations={names.ANNOTATION_TICK: TICK.isoformat()}), id="label and tick"),
        pytest.param(run(annotations={names.ANNOTATION_TICK: TICK.isoformat()}), id="and name"),
        pytest.param(run("innocent", **THIRD), id="a repetition of another name"),
        pytest.param(run(REPEATED, annotations=THIRD["annotations"] | {names.ANNOTATION_REPETITION: "3"}), id="number"),
        pytest.param(run(REPEATED, annotations=THIRD["annotations"] | {names.ANNOTATION_TICK: "x"}), id="no tick"),
        pytest.param(run(REPEATED, annotations=THIRD["annotations"] | RECORDED["annotations"]), id="of somebody"),
        pytest.param(run(EVENT, **PUSH), id="an event"),
    ],
)
def test_a_run_that_is_for_no_tick(existing):
    assert scheduled_tick_of(existing) is None


def test_a_finished_run_that_outlives_its_backfill_is_the_schedules():
    assert backfilled_schedule_of(run(REPEATED, **THIRD)) == SCHEDULE
    assert backfilled_schedule_of(run("innocent", **THIRD)) is None
    assert backfilled_schedule_of(run(REPEATED, **THIRD, **BACKFILLED)) is None
