"""The ticks for which a Backfill creates runs."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock.api.backfill import MAX_TICKS, BackfillSpec
from penstock.api.schedule import ScheduleSpec
from penstock.engine.ticks.backfill_ticks import Ticks, past_ticks, read_clocks, write_clocks
from penstock.errors import InvalidSpecError, StoredStatusError

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SPAN = {"from": "2026-10-01T00:00:00Z", "to": "2026-10-04T00:00:00Z"}


def schedule(cron: str = "@daily", **fields: Any) -> ScheduleSpec:
    return ScheduleSpec.model_validate({"cron": [cron], "runTemplate": {"spec": {"flow": {"name": "a"}}}, **fields})


def ticks(one: ScheduleSpec, now: datetime = NOW, **span: str) -> list[str]:
    spec = BackfillSpec.model_validate({"schedule": {"name": "daily"}, **SPAN, **span})
    return [tick.strftime("%d %H:%M") for tick in past_ticks(spec, one, now)]


def test_a_tick_on_the_beginning_counts_and_one_on_the_end_does_not():
    assert ticks(schedule()) == ["01 00:00", "02 00:00", "03 00:00"]


def test_they_are_read_in_the_zone_of_the_schedule():
    assert ticks(schedule(timeZone="Europe/Berlin")) == ["01 22:00", "02 22:00", "03 22:00"]


def test_what_comes_after_the_creation_of_the_backfill_is_left_to_the_schedule():
    assert ticks(schedule(), datetime(2026, 10, 2, tzinfo=UTC)) == ["01 00:00"]
    assert ticks(schedule(), datetime(2026, 9, 2, tzinfo=UTC)) == []


def test_the_greatest_number_is_allowed_and_one_more_is_not():
    every_minute = schedule("* * * * *")
    assert len(ticks(every_minute, to="2026-10-07T22:40:00Z")) == MAX_TICKS
    with pytest.raises(InvalidSpecError, match="at most 10,000 runs: end this one at 2026-10-07T22:40:00Z"):
        ticks(every_minute, to="2026-10-07T22:41:00Z")


@pytest.mark.parametrize(
    ("span", "said"),
    [
        ({"to": SPAN["from"]}, "spec.to: must be later than from [(]2026-10-01T00:00:00Z[)]; got 2026-10-01"),
        ({"from": "soon"}, "spec.from: must be a time such as 2026-10-01T00:00:00Z"),
        ({"to": "2026-11-01T00:00:00"}, "spec.to: must have an offset; got '2026-11-01T00:00:00'"),
    ],
)
def test_a_span_that_makes_no_sense_is_refused_by_its_field(span, said):
    with pytest.raises(InvalidSpecError, match=said):
        ticks(schedule(), **span)


def test_clocks_that_were_written_down_outlive_an_edit_of_the_schedule():
    before = schedule(timeZone="Europe/Berlin")
    after = schedule("@hourly", suspend=True)
    read = read_clocks(write_clocks(before), after)
    assert (read.cron, read.time_zone, read.suspend) == (["@daily"], "Europe/Berlin", True)
    with pytest.raises(StoredStatusError, match=r"status\.timing"):
        read_clocks("{", after)


def test_ticks_in_progress_are_found_by_their_time_and_take_little_memory():
    spec = BackfillSpec.model_validate(
        {"schedule": {"name": "daily"}, "from": "2026-11-01T00:00:00Z", "to": "2026-11-07T22:00:00Z"}
    )
    found = past_ticks(spec, schedule("* * * * *"), NOW)
    tracemalloc.start()
    kept = Ticks(found)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (list(kept), len(kept), kept[7]) == (found, len(found), found[7])
    assert [kept.find(tick) for tick in (found[0], found[-1])] == [0, len(found) - 1]
    assert [kept.find(found[3] + timedelta(seconds=1)), kept.find(found[-1] + timedelta(days=1))] == [None, None]
    assert taken < 16 * len(found)
