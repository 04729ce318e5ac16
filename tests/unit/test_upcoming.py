from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from penstock.api.schedule import ScheduleSpec
from penstock.engine.ticks.timetable import Timetable, read_timetable
from penstock.engine.ticks.upcoming import Upcoming

START = datetime(2026, 3, 1, tzinfo=UTC)


def timetable(**spec: object) -> Timetable:
    return read_timetable(ScheduleSpec.model_validate({**spec, "runTemplate": {"spec": {"flow": {"name": "etl"}}}}))


@given(
    st.sampled_from(
        [
            {"cron": ["*/7 2 * * *"], "timeZone": "Europe/Berlin"},
            {"cron": ["0 0 29 2 *"]},
            {"at": ["2026-03-01T01:00:00Z", "2026-03-01T02:00:00Z", "2026-03-03T02:00:00Z"]},
            {"cron": ["@hourly"], "endTime": "2026-03-05T00:00:00Z"},
        ]
    ),
    st.lists(st.integers(-30, 3000), max_size=8),
)
def test_what_is_remembered_is_what_would_be_found(spec, steps):
    table = timetable(**spec)
    upcoming, now = Upcoming(table, 3), START
    for minutes in steps:
        now += timedelta(minutes=minutes)
        assert upcoming.after(now) == list(islice(table.forward(now), 3))


def test_each_tick_is_looked_for_once():
    table = timetable(cron=["@hourly"])
    asked: list[datetime] = []
    forward = table.forward

    def note(after):
        asked.append(after)
        return forward(after)

    table.forward = note  # type: ignore[method-assign]
    upcoming = Upcoming(table, 3)
    for minutes in range(120):
        upcoming.after(START + timedelta(minutes=minutes))
    assert asked == [START, START + timedelta(hours=3)]
