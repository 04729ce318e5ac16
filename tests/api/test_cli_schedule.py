"""`penstock schedule` as a process of its own, against a real API server."""

from __future__ import annotations

import pytest

from tests.api.command_line import once

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]


@pytest.fixture
def schedule(objects):
    spec = {
        "cron": ["30 2 * * *"],
        "timeZone": "Europe/Berlin",
        "runTemplate": {"spec": {"flow": {"name": "orders"}, "params": {"day": "$(tick.previous.date)"}}},
    }
    objects.create(
        {"apiVersion": "penstock.dev/v1alpha1", "kind": "Schedule", "metadata": {"name": "nightly"}, "spec": spec}
    )
    return objects


def test_run_now_creates_an_ordinary_run_with_its_params_and_who_asked(schedule, typed):
    exit_code, lines = once(typed, "schedule", "run", "nightly", "-p", "count=3")
    (run,) = schedule.runs()
    assert (exit_code, lines) == (0, [f"flowrun.penstock.dev/{run['metadata']['name']} created"])
    assert run["metadata"]["name"].startswith("nightly-run-")
    assert run["spec"]["params"]["count"] == 3
    assert len(run["spec"]["params"]["day"]) == len("2026-11-22")
    assert run["metadata"]["annotations"]["penstock.dev/started-from"] == "nightly"
    assert run["metadata"]["annotations"]["penstock.dev/requested-by"]
    assert "ownerReferences" not in run["metadata"]


def test_run_for_a_tick_creates_a_backfill_of_that_tick_alone(schedule, typed):
    words = ("schedule", "run", "nightly", "--tick", "2026-06-01T02:30", "--name", "again")
    assert once(typed, *words) == (0, ["backfill.penstock.dev/again created"])
    assert schedule.get("backfills", "again")["spec"] == {
        "schedule": {"name": "nightly"},
        "from": "2026-06-01T00:30:00+00:00",
        "to": "2026-06-01T00:31:00+00:00",
        "reprocess": "All",
    }
    assert schedule.runs() == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(("--tick", "2026-06-01"), "is not a tick of the Schedule; the nearest are", id="no tick"),
        pytest.param(("--tick", "2026-06-01T02:30", "-p", "day=x"), "-p cannot be combined", id="params for a tick"),
        pytest.param(("-p", "dy=x"), 'the Flow has no param dy (did you mean "day"?)', id="an unknown param"),
    ],
)
def test_what_cannot_be_run_is_refused_with_what_to_do(schedule, typed, words, message):
    exit_code, (line,) = once(typed, "schedule", "run", "nightly", *words)
    assert exit_code == 1
    assert message in line
    assert schedule.runs() == []


def test_suspend_and_resume_set_the_field_and_say_so_again(schedule, typed):
    assert once(typed, "schedule", "suspend", "nightly") == (0, ["schedule.penstock.dev/nightly suspended"])
    assert schedule.get("schedules", "nightly")["spec"]["suspend"] is True
    assert once(typed, "schedule", "suspend", "nightly")[1] == ["schedule.penstock.dev/nightly is already suspended"]
    assert once(typed, "schedule", "resume", "nightly") == (0, ["schedule.penstock.dev/nightly resumed"])
    assert schedule.get("schedules", "nightly")["spec"]["suspend"] is False


def test_list_shows_when_each_runs_and_how_it_went(schedule, typed, namespace):
    condition = {"type": "Ready", "status": "True", "reason": "Valid", "message": ""}
    status = {
        "conditions": [{**condition, "lastTransitionTime": "2026-11-22T12:00:00Z"}],
        "lastRun": "nightly-1",
        "lastTickTime": "2020-01-01T00:00:00Z",
    }
    schedule.patch_status("schedules", "nightly", status)
    exit_code, (headings, row) = once(typed, "schedule", "list")
    assert exit_code == 0
    assert headings.split("   ")[0] == "NAME"
    assert row.startswith("nightly   orders   cron 30 2 * * *   Europe/Berlin   Active   0        nightly-1 (")
    assert any(line.startswith(f"{namespace}   nightly") for line in once(typed, "schedule", "list", "-A")[1])


def test_a_namespace_that_does_not_exist_is_said_to_be_missing(crds, typed):
    exit_code, (line,) = once(typed, "schedule", "list", "-n", "no-such-place")
    assert (exit_code, line) == (0, "no schedules in namespace no-such-place, which does not exist")
    assert once(typed, "get", "-n", "no-such-place")[1] == ["no runs in namespace no-such-place, which does not exist"]
