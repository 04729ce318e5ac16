"""Ticks of ten thousand expressions that nobody thought of, and beside another library where both should agree."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from croniter import CroniterBadCronError, CroniterBadDateError, croniter

from penstock.api.schedule import ScheduleSpec
from penstock.engine.ticks.timetable import Timetable, read_timetable
from penstock.errors import InvalidSpecError

MINUTE = timedelta(minutes=1)
LONG = timedelta(days=40 * 366)
CRONS = 2000
"""Of each of five zones."""
TICKS = 6
"""Of each of them."""
BOUNDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()  # noqa: SIM905 - easier to read
WEEKDAYS = "SUN MON TUE WED THU FRI SAT".split()  # noqa: SIM905 - likewise


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# When clocks are set; those of Kolkata never were since 1945.
TRANSITIONS = {
    "UTC": [utc("2027-12-31T23:59"), utc("2028-02-28T12:00")],
    "America/New_York": [utc("2026-03-08T07:00"), utc("2026-11-01T06:00")],
    "Europe/Berlin": [utc("2026-03-29T01:00"), utc("2026-10-25T01:00")],
    "Australia/Lord_Howe": [utc("2026-04-04T15:00"), utc("2026-10-03T15:30")],
    "Asia/Kolkata": [utc("1945-10-14T17:30"), utc("2026-03-29T01:00")],
}


def draw_field(chance: random.Random, name: str) -> str:
    """Draw any, a value, a name, a list, a range or a step."""
    least, most = BOUNDS[name]
    first, last = sorted(chance.sample(range(least, most + 1), 2))
    step = chance.randint(2, max(2, (most - least) // 2))
    drawn = chance.choice(
        ["*", "*", f"*/{step}", f"{first}", f"{first},{last}", f"{first}-{last}", f"{first}-{last}/{step}"]
    )
    if name == "month" and chance.random() < 0.2:
        return f"{MONTHS[first - 1]}-{MONTHS[last - 1]}"
    if name == "weekday" and chance.random() < 0.2:
        return f"{WEEKDAYS[first]},{WEEKDAYS[last % 7]}"
    return drawn


def draw_crons(seed: str) -> Iterator[str]:
    """Draw expressions that restrict either the date or the weekday, forever."""
    chance = random.Random(seed)
    while True:
        fields = {name: draw_field(chance, name) for name in BOUNDS}
        fields[chance.choice(["day", "weekday"])] = "*"
        yield " ".join(fields.values())


def timetables(zone: str, count: int) -> Iterator[tuple[str, Timetable]]:
    """Read so many expressions that have ticks."""
    crons = draw_crons(zone)
    while count:
        expression = next(crons)
        try:
            table = read_timetable(ScheduleSpec.model_construct(cron=[expression], time_zone=zone))
        except InvalidSpecError as error:
            # As 31 April.
            assert "never matches" in str(error)  # noqa: PT017 - either is fine, and this is half of it
            continue
        count -= 1
        yield expression, table


@pytest.mark.parametrize("zone", TRANSITIONS)
def test_between_is_next_again_and_again_for_ten_thousand_expressions(zone):
    chance = random.Random(zone)
    for expression, table in timetables(zone, CRONS):
        start = chance.choice(TRANSITIONS[zone]) + timedelta(minutes=chance.randint(-1500, 90))
        got = table.between(start, start + LONG, TICKS)
        again: list[datetime | None] = []
        tick: datetime | None = start
        for _ in got:
            assert tick is not None
            tick = table.next(tick)
            again.append(tick)
        assert again == got, expression
        assert len(got) == TICKS, expression
        assert start < got[0], expression
        assert all(later - earlier >= MINUTE for earlier, later in pairwise(got)), expression
        assert all((tick.second, tick.microsecond) == (0, 0) for tick in got), expression


def others(expression: str, start: datetime, zone: str = "UTC", count: int = TICKS) -> list[datetime]:
    """Return the ticks that croniter has."""
    found = croniter(expression, start.astimezone(ZoneInfo(zone)), ret_type=datetime)
    return [next(found).astimezone(UTC) for _ in range(count)]


def test_croniter_has_the_same_ticks_where_clocks_are_never_set():
    chance = random.Random("croniter")
    for expression, table in timetables("UTC", 3000):
        start = utc("2026-01-01T00:00") + timedelta(minutes=chance.randint(0, 5 * 366 * 24 * 60))
        assert table.between(start, start + LONG, TICKS) == others(expression, start), expression


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"])
def test_croniter_has_the_same_ticks_of_a_zone_on_days_without_a_change(zone):
    # A week in winter and one in summer; what comes after it may be another matter.
    for (expression, table), start in zip(
        timetables(zone, 400), [utc("2026-01-10T00:00"), utc("2026-07-10T00:00")] * 200, strict=True
    ):
        got = table.between(start, start + timedelta(days=7), TICKS)
        assert got == others(expression, start, zone, len(got)), expression


@pytest.mark.parametrize(
    ("zone", "expression", "start", "ours", "theirs"),
    [
        pytest.param(
            "Europe/Berlin",
            "30 2 * * *",
            "2026-10-24T12:00",
            ["25T00:30", "26T01:30"],
            ["25T00:30", "25T01:30"],
            id="a time that comes twice",
        ),
        pytest.param(
            "Europe/Berlin",
            "*/30 2 * * *",
            "2026-03-28T12:00",
            ["30T00:00", "30T00:30"],
            ["29T01:00", "30T00:00"],
            id="with a star in an hour that is left out",
        ),
        pytest.param(
            "UTC",
            "0 8-8 * * *",
            "2026-01-01T00:00",
            ["01T08:00", "02T08:00"],
            ["01T01:00", "01T02:00"],
            id="a range of one",
        ),
    ],
)
def test_croniter_differs_as_the_page_on_schedules_says(zone, expression, start, ours, theirs):
    table = read_timetable(ScheduleSpec.model_construct(cron=[expression], time_zone=zone))
    assert [f"{tick:%dT%H:%M}" for tick in table.between(utc(start), utc(start) + LONG, 2)] == ours
    assert [f"{tick:%dT%H:%M}" for tick in others(expression, utc(start), zone, 2)] == theirs


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("0 22-2 * * *", id="a range that goes round"),
        pytest.param("0 0 * * L5", id="the last Friday, written L5"),
        pytest.param("0 0 1W * *", id="the weekday nearest to a date"),
        pytest.param("R 3 * * *", id="a value drawn by lot"),
        pytest.param("0 0 13 * 5", id="both a date and a weekday"),
        pytest.param("0 0 1 * * 0", id="seconds"),
    ],
)
def test_what_only_croniter_takes_is_refused(expression):
    assert others(expression, utc("2026-01-01T00:00"))
    with pytest.raises(InvalidSpecError):
        read_timetable(ScheduleSpec.model_construct(cron=[expression]))


@pytest.mark.parametrize("expression", ["0 0 * * 5L", "0 0 LW * *"])
def test_what_croniter_does_not_take_has_ticks(expression):
    table = read_timetable(ScheduleSpec.model_construct(cron=[expression]))
    assert table.next(utc("2026-01-01T00:00")) == utc("2026-01-30T00:00")
    with pytest.raises(CroniterBadCronError):
        croniter(expression, utc("2026-01-01T00:00"))


def test_croniter_finds_out_late_about_a_day_that_never_comes():
    with pytest.raises(InvalidSpecError, match="never matches"):
        read_timetable(ScheduleSpec.model_construct(cron=["0 0 31 2 *"]))
    assert croniter.is_valid("0 0 31 2 *")
    with pytest.raises(CroniterBadDateError):
        others("0 0 31 2 *", utc("2026-01-01T00:00"))
