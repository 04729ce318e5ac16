from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.api.schedule import ScheduleSpec
from penstock.engine.ticks.cron import ALIASES
from penstock.engine.ticks.timetable import Timetable, read_timetable
from penstock.errors import InvalidSpecError

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"
KOLKATA = "Asia/Kolkata"


def timetable(cron: list[str], zone: str | None) -> Timetable:
    return read_timetable(ScheduleSpec.model_construct(cron=cron, time_zone=zone))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def refusals(cron: list[str], time_zone: str | None = None) -> list[str]:
    with pytest.raises(InvalidSpecError) as caught:
        timetable(cron, time_zone)
    return [str(problem) for problem in caught.value.problems]


def test_ticks_are_strictly_after_and_strictly_before():
    ticks = timetable(["0 2 * * *"], None)
    at = utc("2026-11-22T02:00")
    second = timedelta(seconds=1)
    microsecond = timedelta(microseconds=1)
    assert ticks.next(at) == at + timedelta(days=1)
    assert ticks.next(at - microsecond) == at
    assert ticks.next(at - second) == at
    assert ticks.previous(at) == at - timedelta(days=1)
    assert ticks.previous(at + microsecond) == at
    assert ticks.previous(at + second) == at


def test_times_of_any_zone_are_taken_and_those_of_utc_given():
    ticks = timetable(["0 2 * * *"], BERLIN)
    tick = ticks.next(datetime(2026, 1, 1, 5, tzinfo=timezone(timedelta(hours=5))))
    assert tick == utc("2026-01-01T01:00")
    assert tick.tzinfo is UTC


def test_a_tick_is_due_when_any_expression_says_so_and_once():
    ticks = timetable(["0 2 * * *", "0 */2 1 * *", "@daily"], None)
    got = ticks.between(utc("2026-01-01T00:00"), utc("2026-01-02T00:00"), 100)
    assert got == [utc(f"2026-01-01T{hour:02}:00") for hour in range(2, 24, 2)] + [utc("2026-01-02T00:00")]
    assert ticks.previous(utc("2026-01-02T00:00")) == utc("2026-01-01T22:00")


def test_between_excludes_the_start_includes_the_end_and_keeps_the_limit():
    ticks = timetable(["@hourly"], None)
    start = utc("2026-01-01T00:00")
    assert ticks.between(start, start + timedelta(hours=2), 10) == [
        start + timedelta(hours=1),
        start + timedelta(hours=2),
    ]
    assert ticks.between(start, start + timedelta(days=300), 2) == [
        start + timedelta(hours=1),
        start + timedelta(hours=2),
    ]
    assert ticks.between(start, start, 10) == []


@pytest.mark.parametrize(
    ("zone", "cron", "after", "want"),
    [
        # Berlin, forward at 01:00Z on 29 March, back at 01:00Z on 25 October
        pytest.param(
            BERLIN, "30 2 * * *", "2026-03-28T12:00", ["29T01:00", "30T00:30"], id="a time left out comes after"
        ),
        pytest.param(
            BERLIN, "0,30 2 * * *", "2026-03-28T12:00", ["29T01:00", "30T00:00"], id="two of them come as one"
        ),
        pytest.param(
            BERLIN, "30 2 * * *", "2026-10-24T12:00", ["25T00:30", "26T01:30"], id="a time that comes twice counts once"
        ),
        pytest.param(BERLIN, "30 2 * * *", "2026-10-25T01:15", ["26T01:30"], id="also when asked in the second hour"),
        pytest.param(
            BERLIN, "30 * * * *", "2026-10-24T23:45", ["25T00:30", "25T01:30"], id="hourly is hourly in both hours"
        ),
        pytest.param(
            BERLIN, "30 * * * *", "2026-03-29T00:00", ["29T00:30", "29T01:30"], id="and when an hour is left out"
        ),
        pytest.param(BERLIN, "*/30 1-3 * * *", "2026-03-29T00:15", ["29T00:30", "29T01:00"], id="or none"),
        pytest.param(BERLIN, "0 9 * * *", "2026-03-28T07:00", ["28T08:00", "29T07:00"], id="nine is nine"),
        # New York, forward at 07:00Z on 8 March, back at 06:00Z on 1 November
        pytest.param(NEW_YORK, "30 2 * * *", "2026-03-07T12:00", ["08T07:00", "09T06:30"], id="New York: left out"),
        pytest.param(NEW_YORK, "30 1 * * *", "2026-10-31T12:00", ["01T05:30", "02T06:30"], id="New York: twice"),
        pytest.param(
            NEW_YORK, "0 * * * *", "2026-11-01T04:30", ["01T05:00", "01T06:00", "01T07:00"], id="New York: no pause"
        ),
        # Lord Howe, by half an hour: back at 15:00Z on 4 April (02:00 to 01:30), forward at 15:30Z on 3 October (02:00
        # to 02:30)
        pytest.param(LORD_HOWE, "15 2 * * *", "2026-10-03T00:00", ["03T15:30", "04T15:15"], id="Lord Howe: left out"),
        pytest.param(LORD_HOWE, "45 1 * * *", "2026-04-04T00:00", ["04T14:45", "05T15:15"], id="Lord Howe: twice"),
        pytest.param(
            LORD_HOWE,
            "*/15 1 * * *",
            "2026-04-04T13:50",
            ["04T14:00", "04T14:15", "04T14:30", "04T14:45", "04T15:00", "04T15:15", "05T14:30"],
            id="Lord Howe: by the clock",
        ),
        pytest.param(LORD_HOWE, "0 12 * * *", "2026-04-04T00:00", ["04T01:00", "05T01:30"], id="Lord Howe: noon"),
        pytest.param(
            KOLKATA, "30 2 * * *", "2026-03-28T12:00", ["28T21:00", "29T21:00"], id="Kolkata: always the same"
        ),
        # leap days, and a day that does not exist in every month
        pytest.param("UTC", "0 0 29 2 *", "2096-01-01T00:00", ["29T00:00", "29T00:00"], id="no leap day in 2100"),
        pytest.param("UTC", "0 0 31 * *", "2026-03-31T12:00", ["31T00:00", "31T00:00"], id="no 31st in April"),
        pytest.param("UTC", "0 0 L 2 *", "2027-01-01T00:00", ["28T00:00", "29T00:00"], id="the last of February"),
    ],
)
def test_the_clock_on_the_wall_counts(zone, cron, after, want):
    table = timetable([cron], zone)
    got = table.between(utc(after), utc("2200-01-01T00:00"), len(want))
    assert [f"{tick:%dT%H:%M}" for tick in got] == want
    assert all(table.previous(later) == earlier for earlier, later in pairwise(got))


def test_the_last_tick_is_found_across_the_hour_that_comes_twice():
    ticks = timetable(["30 2 * * *"], BERLIN)
    assert ticks.previous(utc("2026-10-25T01:15")) == utc("2026-10-25T00:30")
    assert ticks.previous(utc("2026-03-29T01:00:01")) == utc("2026-03-29T01:00")


fields = st.tuples(
    st.sampled_from(["0", "30", "*", "*/15", "5,35", "0-59/20", "59", "15-45/10"]),
    st.sampled_from(["*", "2", "1-3", "*/2", "0,23", "2,3", "1", "0"]),
    st.sampled_from([("*", "*"), ("1", "*"), ("L", "*"), ("*", "0"), ("*", "MON-FRI"), ("*", "7#1"), ("25-31", "?")]),
    st.sampled_from(["*", "3", "10", "MAR-NOV"]),
)
zones = st.sampled_from(
    [
        BERLIN,
        NEW_YORK,
        LORD_HOWE,
        KOLKATA,
        "UTC",
        "Pacific/Apia",
        "Africa/Casablanca",
        "America/St_Johns",
        "Asia/Tehran",
    ]
)
# Around the day that Samoa left out, and around the days when clocks are set.
bases = st.sampled_from(
    [
        utc(f"{day}T00:00")
        for day in ("2011-12-28", "2026-03-06", "2026-03-27", "2026-04-02", "2026-10-01", "2026-10-24", "2026-10-31")
    ]
)
starts = st.builds(lambda base, minutes: base + timedelta(minutes=minutes), bases, st.integers(0, 4 * 24 * 60))


def expression(parts: tuple) -> str:
    minute, hour, (day, weekday), month = parts
    return f"{minute} {hour} {day} {month} {weekday}"


@settings(max_examples=500)
@given(fields, zones, starts)
@example(("0", "2,3", ("*", "*"), "*"), BERLIN, utc("2026-10-25T01:15"))
@example(("*/15", "2", ("*", "*"), "*"), BERLIN, utc("2026-10-25T01:15"))
@example(("*/15", "*", ("*", "*"), "*"), LORD_HOWE, utc("2026-04-04T14:45"))
@example(("15-45/10", "2", ("*", "0"), "*"), LORD_HOWE, utc("2026-10-03T12:00"))
def test_looking_back_finds_what_looking_ahead_passed(parts, zone, start):
    table = timetable([expression(parts)], zone)
    ahead = table.between(start, start + timedelta(days=800), 12)
    assert all(tick > start for tick in ahead)
    assert all(later - earlier >= timedelta(minutes=1) for earlier, later in pairwise(ahead))
    for tick, following in pairwise(ahead):
        assert table.next(tick) == following
        assert table.previous(following) == tick
        assert table.previous(following - timedelta(seconds=1)) == tick


@settings(max_examples=100)
@given(fields.filter(lambda parts: "*" in (parts[0][0], parts[1][0])), zones, starts)
def test_an_expression_with_a_star_is_due_in_every_minute_that_matches(parts, zone, start):
    text = expression(parts)
    table = timetable([text], zone)
    # The expression is asked of each minute alone, in UTC, where nothing is ever set.
    naive = timetable([text], None)
    minutes = [start + timedelta(minutes=minute) for minute in range(1, 27 * 60)]
    walls = [minute.astimezone(ZoneInfo(zone)).replace(tzinfo=UTC) for minute in minutes]
    want = [
        minute for minute, wall in zip(minutes, walls, strict=True) if naive.next(wall - timedelta(seconds=1)) == wall
    ]
    assert table.between(start, minutes[-1], 10_000) == want


@settings(max_examples=100)
@given(fields.filter(lambda parts: "*" not in (parts[0][0], parts[1][0])), zones, starts)
def test_an_expression_without_a_star_is_due_once_for_each_time_on_the_wall(parts, zone, start):
    text = expression(parts)
    got = timetable([text], zone).between(start, start + timedelta(days=3), 10_000)
    walls = timetable([text], None).between(
        (start - timedelta(days=2)).astimezone(ZoneInfo(zone)).replace(tzinfo=UTC),
        (start + timedelta(days=5)).astimezone(ZoneInfo(zone)).replace(tzinfo=UTC),
        10_000,
    )
    moments = set()
    for wall in walls:
        moment = wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        while moment.astimezone(ZoneInfo(zone)).replace(tzinfo=UTC) != wall:
            # Left out: go back to where the clock jumps.
            earlier = moment - timedelta(minutes=1)
            if earlier.astimezone(ZoneInfo(zone)).replace(tzinfo=UTC) < wall:
                break
            moment = earlier
        moments.add(moment)
    assert got == sorted(moment for moment in moments if start < moment <= start + timedelta(days=3))


@pytest.mark.parametrize(
    ("expression", "want"),
    [
        # From Thursday, 1 January 2026, 00:00
        pytest.param("*/20 * * * *", ["01T00:20", "01T00:40", "01T01:00"], id="steps"),
        pytest.param("10-30/10 9 * * *", ["01T09:10", "01T09:20", "01T09:30"], id="steps in a range"),
        pytest.param("50/5 * * * *", ["01T00:50", "01T00:55", "01T01:50"], id="steps from a value"),
        pytest.param("0 9-11 * * *", ["01T09:00", "01T10:00", "01T11:00"], id="a range"),
        pytest.param("0,30 9,21 * * *", ["01T09:00", "01T09:30", "01T21:00"], id="lists"),
        pytest.param("0 0 * * sun,Tue", ["04T00:00", "06T00:00", "11T00:00"], id="names of days"),
        pytest.param("0 0 * * 7", ["04T00:00", "11T00:00", "18T00:00"], id="Sunday as 7"),
        pytest.param("0 0 * * 0", ["04T00:00", "11T00:00", "18T00:00"], id="Sunday as 0"),
        pytest.param("0 0 10 jan-Feb *", ["10T00:00", "10T00:00", "10T00:00"], id="names of months"),
        pytest.param("0 12 ? * ?", ["01T12:00", "02T12:00", "03T12:00"], id="? for any"),
        pytest.param("@hourly", ["01T01:00", "01T02:00", "01T03:00"], id="an alias"),
    ],
)
def test_every_way_to_write_a_field_is_read(expression, want):
    got = timetable([expression], None).between(utc("2026-01-01T00:00"), utc("2030-01-01T00:00"), 3)
    assert [f"{tick:%dT%H:%M}" for tick in got] == want


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_its_expression(alias):
    start = utc("2026-01-15T10:30")
    assert timetable([alias.upper()], None).next(start) == timetable([ALIASES[alias]], None).next(start)


@pytest.mark.parametrize(
    ("expression", "want"),
    [
        ("61 * * * *", "the minute '61' of '61 * * * *' is invalid"),
        ("* 24 * * *", "the hour '24'"),
        ("* * 0 * *", "the day-of-month '0'"),
        ("* * * 13 *", "the month '13'"),
        ("* * * * 8", "the day-of-week '8'"),
        ("? * * * *", "use * for any"),
        ("*/0 * * * *", "the minute '*/0'"),
        ("5-1 * * * *", "the minute '5-1'"),
        ("٣ * * * *", "the minute '٣'"),
        ("* * * * 1#2,3/2,#", "the day-of-week"),
        ("9" * 250 + " * * * *", "the minute"),
        ("0 30 2 * * *", "must have five fields, minute hour day-of-month month day-of-week, no seconds; got 6"),
        ("* * * *", "day-of-week; got 4"),
        (" ", "day-of-week; got 0"),
        ("TZ=UTC * * * * *", "names a zone: set spec.timeZone"),
        ("CRON_TZ=UTC * * * * *", "names a zone: set spec.timeZone"),
        ("@dayly", 'unknown alias @dayly (did you mean "@daily"?)'),
        ("@every 5m", "use interval: {every: 5m}"),
        ("@reboot", "unknown alias @reboot"),
        ("H * * * *", "the minute 'H'"),
        ("0 R * * *", "the hour 'R'"),
        ("0 0 30 2 *", "never matches"),
        ("0 0 31 4,6,9,11 *", "never matches"),
        ("0 0 13 * 5", 'write two expressions, "0 0 13 * *" and "0 0 * * 5"'),
        ("0 0 */2 * MON", "restricts both day-of-month and day-of-week"),
    ],
)
def test_an_expression_that_can_not_work_is_refused(expression, want):
    (problem,) = refusals([expression])
    assert problem.startswith("spec.cron[0]: ")
    assert want in problem


@pytest.mark.parametrize(
    ("zone", "want"),
    [
        ("Europe/Berln", '(did you mean "Europe/Berlin"?)'),
        ("Berlin", '(did you mean "Europe/Berlin"?)'),
        ("europe/berlin", '(did you mean "Europe/Berlin"?)'),
        ("localtime", "use an IANA name"),
        ("../etc/passwd", "use an IANA name"),
        ("/etc/passwd", "use an IANA name"),
        ("Europe", "unknown time zone"),
        ("", "unknown time zone"),
        ("\0", "unknown time zone"),
    ],
)
def test_a_zone_that_does_not_exist_is_refused(zone, want):
    (problem,) = refusals(["* * * * *"], zone)
    assert problem.startswith("spec.timeZone: ")
    assert want in problem


def test_every_problem_is_found_at_once():
    assert [problem.split(":")[0] for problem in refusals(["x", "@daily", "@x"], "Nowhere")] == [
        "spec.cron[0]",
        "spec.cron[2]",
        "spec.timeZone",
    ]


@given(
    st.text(max_size=20)
    | st.lists(st.text("0123456789*/-,L#WMONJA?", max_size=6), min_size=5, max_size=5).map(" ".join)
)
def test_any_text_is_an_expression_or_refused(text):
    try:
        ticks = timetable([text], BERLIN)
    except InvalidSpecError as error:
        assert error.problems[0].path == "spec.cron[0]"  # noqa: PT017 - either is fine, and this is half of it
    else:
        assert ticks.next(utc("2026-01-01T00:00")) is not None


def test_there_is_nothing_before_the_beginning_and_after_the_end():
    ticks = timetable(["0 0 1 1 *"], BERLIN)
    assert ticks.next(datetime(9999, 12, 31, tzinfo=UTC)) is None
    assert ticks.previous(datetime(1, 1, 1, tzinfo=UTC)) is None
