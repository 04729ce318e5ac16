"""What `penstock backfill` makes of what is typed, and how a Backfill is told."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from penstock.api.backfill import Order, Reprocess
from penstock.cli.cluster.backfill_watching import backfill_outcome, is_backfill_finished, progress_line
from penstock.cli.commands.backfill import read_backfill
from penstock.cli.parser import build_parser
from penstock.cli.parser_schedule import BACKFILL_ORDERS, REPROCESS
from penstock.errors import CommandError


def typed(*words: str, zone: str = "Europe/Berlin") -> dict[str, Any]:
    made: dict[str, Any] = read_backfill(build_parser().parse_args(["backfill", "nightly", *words]), zone)
    return made


def test_times_without_a_zone_are_in_that_of_the_schedule():
    made = typed("--from", "2026-10-01", "--to", "2026-10-31T06:00", "--max-active", "4", "--reprocess", "Failed")
    assert made["metadata"] == {"generateName": "nightly-"}
    assert made["spec"] == {
        "schedule": {"name": "nightly"},
        "from": "2026-10-01T00:00:00+02:00",
        "to": "2026-10-31T06:00:00+01:00",
        "maxActive": 4,
        "reprocess": "Failed",
    }


def test_times_with_an_offset_and_a_name_are_kept():
    made = typed("--from", "2026-10-01T00:00:00Z", "--to", "2026-10-02T00:00:00-05:00", "--name", "mine")
    assert made["metadata"] == {"name": "mine"}
    assert (made["spec"]["from"], made["spec"]["to"]) == ("2026-10-01T00:00:00+00:00", "2026-10-02T00:00:00-05:00")


@pytest.mark.parametrize("word", ["yesterday", "2026-13-01", ""])
def test_an_invalid_time_is_reported_with_its_option(word):
    with pytest.raises(CommandError, match=f"--to {word}: invalid time; use 2026-10-01"):
        typed("--from", "2026-10-01", "--to", word)


def backfill(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "october"}, "status": status}


def test_a_line_says_how_far_it_is_and_what_holds_it_up():
    assert progress_line(backfill()) == "waiting for the operator"
    running = {"state": "Running", "progress": "3/31", "counts": {"Running": 2, "Completed": 3, "Failed": 0}}
    assert progress_line(backfill(**running, reason="Running")) == "3/31  Running  2 Running, 3 Completed"
    held = {"reason": "ScheduleNotFound", "message": "waits for the Schedule x"}
    assert progress_line(backfill(state="Pending", **held)) == "Pending  ScheduleNotFound: waits for the Schedule x"


def test_it_has_finished_by_its_condition():
    conditions = [{"type": "Finished", "status": "True"}]
    assert is_backfill_finished(backfill(conditions=conditions))
    assert not is_backfill_finished(backfill(conditions=[{"type": "Finished", "status": "False"}]))
    assert (
        backfill_outcome(backfill(state="Failed", message="3 ticks: 3 failed"))
        == "Backfill october Failed: 3 ticks: 3 failed"
    )


def test_the_words_that_can_be_typed_are_those_of_the_api():
    assert (get_args(Order), get_args(Reprocess)) == (BACKFILL_ORDERS, REPROCESS)
