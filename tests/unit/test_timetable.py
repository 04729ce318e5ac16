from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.engine.ticks.timetable import Timetable, read_timetable
from penstock.engine.validation.validation import parse_schedule
from penstock.errors import InvalidSpecError

TEMPLATE = {"spec": {"flow": {"name": "etl"}}}
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def timetable(**spec: Any) -> Timetable:
    return read_timetable(parse_schedule({"spec": {**spec, "runTemplate": TEMPLATE}}))


def ticks(table: Timetable, after: str, until: str) -> list[str]:
    return [f"{tick:%dT%H:%M}" for tick in table.between(utc(after), utc(until), 1000)]


def test_a_tick_is_due_when_any_source_says_so_and_once():
    table = timetable(
        cron=["0 6 * * *"],
        interval={"every": "6h"},
        at=["2026-03-01T06:00:00Z", "2026-03-01T07:07:00+01:00", "2026-03-02"],
        rrule=["FREQ=DAILY;BYHOUR=6,9"],
    )
    want = ["01T06:00", "01T06:07", "01T09:00", "01T12:00", "01T18:00", "02T00:00"]
    assert ticks(table, "2026-03-01T00:00", "2026-03-02T00:00") == want
    assert table.previous(utc("2026-03-01T06:07")) == utc("2026-03-01T06:00")


# Of the transition that Prefect has a tick missing at, and both kinds of distances


@pytest.mark.parametrize(
    ("every", "after", "until", "want"),
    [
        ("1h", "2026-11-01T04:30", "2026-11-01T08:00", ["01T05:00", "01T06:00", "01T07:00", "01T08:00"]),
        ("1h", "2026-03-08T05:30", "2026-03-08T08:00", ["08T06:00", "08T07:00", "08T08:00"]),
        ("30m", "2026-11-01T05:00", "2026-11-01T06:30", ["01T05:30", "01T06:00", "01T06:30"]),
        ("24h", "2026-03-07T00:00", "2026-03-09T23:00", ["07T14:00", "08T14:00", "09T14:00"]),
        ("12h", "2026-10-31T12:00", "2026-11-01T23:00", ["31T14:00", "01T02:00", "01T14:00"]),
    ],
)
def test_an_interval_goes_by_the_time_that_really_passes(every, after, until, want):
    anchor = "2030-01-01T09:00:00"  # to come, and on the wall of New York, where it is 14:00Z
    table = timetable(interval={"every": every, "anchor": anchor}, timeZone="America/New_York")
    assert ticks(table, after, until) == want


def test_an_interval_without_an_anchor_counts_from_the_epoch():
    assert ticks(timetable(interval={"every": "90m"}), "1970-01-01T00:00", "1970-01-01T03:00") == [
        "01T01:30",
        "01T03:00",
    ]
    assert timetable(interval={"every": "90m"}).previous(utc("1970-01-01T00:00")) == utc("1969-12-31T22:30")


def test_ticks_may_be_on_the_start_and_the_end_and_not_beyond():
    table = timetable(cron=["@hourly"], startTime="2026-01-01T02:00:00Z", endTime="2026-01-01T04:00:00Z")
    want = [utc(f"2026-01-01T0{hour}:00") for hour in (2, 3, 4)]
    assert table.between(utc("2020-01-01T00:00"), utc("2030-01-01T00:00"), 100) == want
    assert table.next(want[-1]) is None
    assert table.previous(want[0]) is None
    assert table.previous(utc("2030-01-01T00:00")) == want[-1]
    assert table.next(utc("2020-01-01T00:00")) == want[0]


def test_the_start_and_the_dates_are_on_the_wall_of_the_zone():
    table = timetable(
        at=["2026-07-01T09:00:00", "2026-07-02"], startTime="2026-07-01T09:00:00", timeZone="Australia/Lord_Howe"
    )
    assert ticks(table, "2026-06-01T00:00", "2026-08-01T00:00") == ["30T22:30", "01T13:30"]


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        ({}, "spec: must have at least one of cron, interval, at, rrule and events"),
        ({"interval": {"every": "0s"}}, "spec.interval.every: must be whole minutes"),
        ({"interval": {"every": "90s"}}, "spec.interval.every: must be whole minutes"),
        ({"interval": {"every": "999999999h"}}, "spec.interval.every: must be at most 87840h"),
        ({"interval": {"every": "1h", "anchor": "2026-01-01T00:00:30Z"}}, "spec.interval.anchor: "),
        (
            {"at": ["2026-02-28", "2026-02-29T00:00:00Z"]},
            "spec.at[1]: '2026-02-29T00:00:00Z' is not a valid date and time",
        ),
        ({"at": ["2026-02-28T00:00:30Z"]}, "spec.at[0]: must be on a whole minute; got '2026-02-28T00:00:30Z'"),
        (
            {"at": ["0001-01-01T00:00:00"], "timeZone": "Asia/Tokyo"},
            "spec.at[0]: must be between the years 1970 and 9998",
        ),
        ({"rrule": ["FREQ=DAILY", "FREQ=X"]}, "spec.rrule[1]: FREQ must be"),
        (
            {"cron": ["@daily"], "startTime": "2026-02-01", "endTime": "2026-01-01"},
            "spec.endTime: must not be before startTime, 2026-02-01; got 2026-01-01",
        ),
    ],
)
def test_what_can_not_work_is_refused_by_field(spec, want):
    with pytest.raises(InvalidSpecError) as caught:
        timetable(**spec)
    assert [str(problem) for problem in caught.value.problems if str(problem).startswith(want)] != []
    assert len(caught.value.problems) == 1


numbers = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}


@st.composite
def cron_fields(draw: st.DrawFn, least: int, most: int) -> str:
    """Draw a field: any, a value, a list, a range or a step of either."""
    value = st.integers(least, most)
    first, last = sorted((draw(value), draw(value)))
    span = draw(st.sampled_from(["*", f"{first}", f"{first}-{last}", f"{first},{last}"]))
    step = draw(st.none() | st.integers(1, most))
    return span if step is None or "," in span else f"{span}/{step}"


@st.composite
def crons(draw: st.DrawFn) -> str:
    """Draw an expression that restricts either the date or the weekday."""
    fields = {name: draw(cron_fields(*bounds)) for name, bounds in numbers.items()}
    fields[draw(st.sampled_from(["day", "weekday"]))] = "*"
    return " ".join(fields.values())


zones = st.sampled_from(["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"])
times = st.datetimes(datetime(2024, 1, 1), datetime(2028, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=1500)
@given(st.lists(crons(), min_size=1, max_size=3), st.none() | st.integers(1, 3000), zones, times)
def test_between_is_next_again_and_again_at_most_once_a_minute(expressions, every, zone, start):
    try:
        table = timetable(
            cron=expressions, timeZone=zone, **({} if every is None else {"interval": {"every": f"{every}m"}})
        )
    except InvalidSpecError as error:
        assert all("never matches" in problem.message for problem in error.problems)  # noqa: PT017 - as 31 April
        return
    got = table.between(start, start + timedelta(days=3000), 15)
    tick: datetime | None = start
    for want in got:
        assert tick is not None
        tick = table.next(tick)
        assert tick == want
    assert all(later - earlier >= MINUTE for earlier, later in pairwise([*got]))
    assert all(tick > start and tick.second == 0 for tick in got)
    assert [table.previous(later) for later in got[1:]] == got[:-1]
