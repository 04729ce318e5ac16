"""What `penstock schedule run` makes of a Schedule, and how a Schedule is listed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from penstock.cli.cluster.schedules import read_schedule_spec
from penstock.cli.commands.schedule.run import build_run_now, read_past_tick
from penstock.cli.text.schedule_row import HEADINGS, schedule_row
from penstock.engine.ticks.timetable import read_timetable
from penstock.engine.validation.validation import parse_schedule
from penstock.errors import CommandError

NOW = datetime(2026, 11, 25, 14, 7, 31, 5, tzinfo=UTC)
EVENT = {"name": "done", "flowRun": {"flow": "etl", "states": ["Failed"]}}


def schedule(**fields: Any) -> dict[str, Any]:
    template = {"spec": {"flow": {"name": "orders"}, "params": {"day": "$(tick.date)"}}}
    spec = {"cron": ["30 2 * * *"], "timeZone": "Europe/Berlin", "runTemplate": template, **fields}
    return {"kind": "Schedule", "metadata": {"name": "nightly", "namespace": "x"}, "spec": spec}


def run_now(obj: dict[str, Any], *, user: str = "", name: str | None = None, **given: Any) -> dict[str, Any]:
    made: dict[str, Any] = build_run_now(obj, read_schedule_spec(obj), NOW, given=given, name=name, user=user)
    return made


def test_a_run_now_has_the_params_of_a_tick_in_this_minute_and_says_who_asked():
    template = {
        "metadata": {"labels": {"team": "data"}, "annotations": {"note": "x"}},
        "spec": {
            "flow": {"name": "orders"},
            "priority": 3,
            "params": {"at": "$(tick.time)", "day": "$(tick.date)", "since": "$(tick.previous.date)", "count": 2},
        },
    }
    made = run_now(schedule(runTemplate=template), user="alice")
    assert made["metadata"] == {
        "generateName": "nightly-run-",
        "labels": {"team": "data", "penstock.dev/flow": "orders"},
        "annotations": {"note": "x", "penstock.dev/started-from": "nightly", "penstock.dev/requested-by": "alice"},
    }
    assert made["spec"] == {
        "flow": {"name": "orders"},
        "priority": 3,
        "scheduledTime": "2026-11-25T14:07:00Z",
        "params": {"at": "2026-11-25T15:07:00+01:00", "day": "2026-11-25", "since": "2026-11-25", "count": 2},
    }
    assert "ownerReferences" not in made["metadata"], "it is not one of the Schedule's own runs"


def test_a_given_param_replaces_that_of_the_schedule_even_if_it_could_not_be_evaluated():
    template = {"spec": {"flow": {"name": "orders"}, "params": {"run": "$(event.run.name)", "day": "$(tick.date)"}}}
    events = schedule(cron=None, events=[EVENT], runTemplate=template)
    del events["spec"]["cron"]
    made = build_run_now(events, parse_schedule(events), NOW, given={"run": "r"}, name="mine", user="")
    assert made["metadata"]["name"] == "mine"
    assert made["spec"]["params"] == {"run": "r", "day": "2026-11-25"}
    with pytest.raises(CommandError, match=r"give it with -p: .*params\.run"):
        build_run_now(events, parse_schedule(events), NOW, given={}, name=None, user="")


def test_a_param_without_a_previous_tick_asks_for_a_value():
    obj = schedule(runTemplate={"spec": {"flow": {"name": "o"}, "params": {"since": "$(tick.previous.date)"}}})
    obj["spec"] |= {"startTime": "2030-01-01"}
    with pytest.raises(CommandError, match=r"param since: .*give it with -p since=VALUE"):
        run_now(obj)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("2026-11-24T02:30", datetime(2026, 11, 24, 1, 30, tzinfo=UTC), id="in the zone of the Schedule"),
        pytest.param("2026-11-24T01:30:00Z", datetime(2026, 11, 24, 1, 30, tzinfo=UTC), id="with an offset"),
    ],
)
def test_a_past_tick_is_read(text, want):
    assert read_past_tick(text, read_timetable(read_schedule_spec(schedule())), NOW) == want


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "2026-11-24T02:31",
            r"is not a tick of the Schedule; the nearest are 2026-11-24T02:30:00\+01:00 and 2026-11-25T02:30:00",
            id="no tick",
        ),
        pytest.param("2026-11-26T02:30", "is in the future", id="a future tick"),
        pytest.param("yesterday", "--tick: 'yesterday' is not a valid date and time", id="no time"),
    ],
)
def test_any_other_time_is_refused_with_what_to_do(text, message):
    with pytest.raises(CommandError, match=message):
        read_past_tick(text, read_timetable(read_schedule_spec(schedule())), NOW)


def row(obj: dict[str, Any]) -> dict[str, str]:
    return dict(zip(HEADINGS, schedule_row(obj, NOW), strict=True))


def test_a_schedule_is_listed_with_how_its_last_runs_went():
    obj = schedule()
    obj["status"] = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "lastRun": "nightly-1",
        "lastTickTime": "2026-11-25T01:30:00Z",
        "lastSuccessTime": "2026-11-22T01:40:00Z",
        "nextTickTimes": ["2026-11-26T01:30:00Z"],
        "activeRuns": 1,
    }
    assert row(obj) == {
        "NAME": "nightly",
        "FLOW": "orders",
        "WHEN": "cron 30 2 * * *",
        "ZONE": "Europe/Berlin",
        "STATUS": "Active",
        "ACTIVE": "1",
        "LAST RUN": "nightly-1 (12h37m ago)",
        "LAST SUCCESS": "3d ago",
        "NEXT TICK": "in 11h22m",
    }


def test_a_schedule_of_events_shows_what_it_listens_to_and_its_last_event():
    config = {"name": "cm", "resource": {"apiVersion": "v1", "kind": "ConfigMap"}}
    any_run = {"name": "any", "flowRun": {"selector": {}, "states": ["Failed", "Crashed"]}}
    obj = schedule(events=[EVENT, config, any_run])
    del obj["spec"]["cron"]
    obj["status"] = {
        "conditions": [{"type": "Listening", "status": "False", "reason": "WebhooksOff"}],
        "events": {"done": {"lastRun": "nightly-x", "lastTime": "2026-11-25T14:00:00Z"}},
    }
    shown = row(obj)
    assert shown["WHEN"] == "on Failed run of etl; on change of ConfigMap; on Failed/Crashed run selected by labels"
    assert (shown["STATUS"], shown["LAST RUN"], shown["NEXT TICK"]) == ("WebhooksOff", "nightly-x (7m31s ago)", "")


def test_a_suspended_schedule_has_no_next_tick():
    obj = schedule(suspend=True)
    obj["status"] = {"nextTickTimes": ["2026-11-26T01:30:00Z"]}
    assert (row(obj)["STATUS"], row(obj)["NEXT TICK"]) == ("Suspended", "")


def test_an_invalid_schedule_is_listed_all_the_same():
    assert row(schedule(cron="x"))["WHEN"] == "(invalid)"
