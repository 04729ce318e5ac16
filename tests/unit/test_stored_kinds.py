"""Objects as kopf hands them over: decoded once, and changed as the API server changes them."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.backfill import BackfillStatus as BackfillStatusModel
from penstock.api.base import ApiModel
from penstock.api.event import EventStatus as EventStatusModel
from penstock.api.flow import FlowStatus as FlowStatusModel
from penstock.api.flow_defaults import FlowDefaultsStatus as FlowDefaultsStatusModel
from penstock.api.schedule import ScheduleStatus as ScheduleStatusModel
from penstock.kube.kinds.backfill import BackfillStatus
from penstock.kube.kinds.flow import Flow, FlowStatus
from penstock.kube.kinds.flow_defaults import FlowDefaultsStatus
from penstock.kube.kinds.schedule import EventStatus, Schedule, ScheduleStatus
from penstock.kube.merge_patch import apply_merge_patch
from penstock.kube.reflector import EventType
from penstock_operator.runtime.controller import decode_as

CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Scheduled",
    "message": "",
    "lastTransitionTime": "2026-11-01T00:00:00Z",
    "observedGeneration": 1,
}


@pytest.mark.parametrize(
    ("struct", "model"),
    [
        (FlowStatus, FlowStatusModel),
        (ScheduleStatus, ScheduleStatusModel),
        (EventStatus, EventStatusModel),
        (BackfillStatus, BackfillStatusModel),
        (FlowDefaultsStatus, FlowDefaultsStatusModel),
    ],
    ids=lambda kind: kind.__module__,
)
def test_a_stored_status_has_every_field_of_the_api(struct: type[msgspec.Struct], model: type[ApiModel]):
    # A field that it lacks would look unstored, and be written again at every reconcile.
    assert set(struct.__struct_fields__) == set(model.model_fields)


def test_an_object_is_decoded_once_for_all_its_receivers():
    seen: list[tuple[EventType, Schedule]] = []
    receive = decode_as(Schedule, lambda *change: seen.append(change), lambda *change: seen.append(change))
    status = {"conditions": [CONDITION], "queued": ["2026-11-01T00:00:00Z"], "events": {"a": {"lastRun": "r"}}}
    receive(
        EventType.ADDED,
        {
            "apiVersion": "penstock.dev/v1alpha1",
            "metadata": {"name": "s", "namespace": "ns", "generation": 3, "managedFields": [{}]},
            "spec": {"cron": ["@daily"]},
            "status": status,
        },
    )
    (event, schedule), (_, second) = seen
    assert schedule is second
    assert (event, schedule.metadata.key, schedule.metadata.generation) == (EventType.ADDED, ("ns", "s"), 3)
    assert schedule.spec == {"cron": ["@daily"]}
    assert msgspec.to_builtins(schedule.status) == status


def test_an_object_that_cannot_be_decoded_is_logged_and_ignored(caplog: pytest.LogCaptureFixture):
    seen: list[Any] = []
    with caplog.at_level(logging.ERROR):
        decode_as(Flow, lambda *change: seen.append(change))(
            EventType.ADDED, {"metadata": {"name": "f", "namespace": "ns"}, "spec": ["no object"]}
        )
    assert seen == []
    assert "Ignoring Flow ns/f: it cannot be decoded" in caplog.text


def test_a_patch_of_one_event_keeps_the_others():
    stored = ScheduleStatus(events={"a": EventStatus(last_run="a-1", problem="x"), "b": EventStatus(last_run="b-1")})
    changed = apply_merge_patch(stored, {"events": {"a": {"lastRun": "a-2", "problem": None}}, "queued": None})
    assert changed.events == {"a": EventStatus(last_run="a-2"), "b": EventStatus(last_run="b-1")}


trees = st.recursive(
    st.none() | st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


class _Holder(msgspec.Struct):
    held: Any = None


@given(st.dictionaries(st.sampled_from("abc"), trees, max_size=3))
def test_a_patch_that_was_applied_changes_nothing_when_it_is_applied_again(patch: dict[str, Any]):
    once = apply_merge_patch(_Holder({"a": 1, "b": {"c": 2}}), {"held": patch})
    assert apply_merge_patch(once, {"held": patch}) == once
