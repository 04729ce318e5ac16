"""Which kinds of objects events may listen to, as the installer allows them, and how long runs of events are kept."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.api.schedule import History, ScheduleSpec
from penstock.kube.resources import Resource
from penstock_operator.schedules.history import EVENTS_KEPT_S, surplus_of_events
from penstock_operator.schedules.runs import ScheduledRun
from penstock_operator.triggers.kinds import AllowedKind, check_allowed_kinds, read_allowed_kinds


def test_the_option_names_kinds_and_where_their_objects_are():
    assert read_allowed_kinds("v1/ConfigMap=configmaps, batch/v1/Job=jobs") == {
        AllowedKind("v1", "ConfigMap"): Resource("", "v1", "configmaps"),
        AllowedKind("batch/v1", "Job"): Resource("batch", "v1", "jobs"),
    }
    assert read_allowed_kinds("") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ConfigMap", "must have the form v1/ConfigMap=configmaps"),
        ("v1/Secret=secrets", "Secrets cannot be allowed"),
        ("v1/Config=secrets", "Secrets cannot be allowed"),
        ("penstock.dev/v1alpha1/FlowRun=flowruns", "Penstock's own kinds cannot be allowed"),
    ],
)
def test_what_is_never_allowed_can_not_be_named(text, said):
    with pytest.raises(ValueError, match=said):
        read_allowed_kinds(text)


def test_a_kind_that_is_not_allowed_is_reported_with_those_that_are():
    def problems(kind: str, allowed: str) -> list[str]:
        event: dict[str, Any] = {"name": "a", "resource": {"apiVersion": "v1", "kind": kind}}
        spec = {"events": [event], "runTemplate": {"spec": {"flow": {"name": "a"}}}}
        found = check_allowed_kinds(ScheduleSpec.model_validate(spec), read_allowed_kinds(allowed))
        return [str(problem) for problem in found]

    assert problems("ConfigMap", "v1/ConfigMap=configmaps") == []
    (problem,) = problems("Pod", "v1/ConfigMap=configmaps")
    assert problem.startswith("spec.events[0].resource.kind: events cannot watch v1/Pod; ")
    assert problem.endswith("kinds allowed in this installation: v1/ConfigMap")
    assert problems("Pod", "")[0].endswith("kinds allowed in this installation: none")


def test_history_keeps_the_last_runs_of_events_and_each_for_as_long_as_it_could_be_replayed():
    def run(minute: int, state: str = "Completed", *, is_of_event: bool = True) -> ScheduledRun:
        time = f"2026-11-24T10:{minute:02}:00Z"
        return ScheduledRun(f"r{minute}", f"u{minute}", None, state, time, is_of_event=is_of_event)

    runs = [run(minute) for minute in (3, 1, 2, 0)] + [run(4, "Failed"), run(5, "Failed"), run(6, is_of_event=False)]
    late = 1_800_000_000.0
    doomed = surplus_of_events(runs, History(completed=2, failed=1), late)
    assert [one.name for one in doomed] == ["r0", "r1", "r4"]
    ten = 1_795_514_400.0
    assert [one.name for one in surplus_of_events(runs, History(completed=0, failed=0), ten + EVENTS_KEPT_S + 61)] == [
        "r0",
        "r1",
    ]
