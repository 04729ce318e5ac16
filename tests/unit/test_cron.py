from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.engine.cron import ALIASES, Ticks
from penstock.errors import InvalidSpecError

BERLIN = "Europe/Berlin"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def refusals(cron: list[str], time_zone: str | None = None) -> list[str]:
    with pytest.raises(InvalidSpecError) as caught:
        Ticks(cron, time_zone)
    return [str(problem) for problem in caught.value.problems]


def test_ticks_are_strictly_after_and_strictly_before():
    ticks = Ticks(["0 2 * * *"], None)
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
    ticks = Ticks(["0 2 * * *"], BERLIN)
    tick = ticks.next(datetime(2026, 1, 1, 5, tzinfo=timezone(timedelta(hours=5))))
    assert tick == utc("2026-01-01T01:00")
    assert tick.tzinfo is UTC


def test_a_tick_is_due_when_any_expression_says_so_and_once():
    ticks = Ticks(["0 2 * * *", "0 */2 1 * *", "@daily"], None)
    got = ticks.between(utc("2026-01-01T00:00"), utc("2026-01-02T00:00"), 100)
    assert got == [utc(f"2026-01-01T{hour:02}:00") for hour in range(2, 24, 2)] + [utc("2026-01-02T00:00")]
    assert ticks.previous(utc("2026-01-02T00:00")) == utc("2026-01-01T22:00")


def test_between_excludes_the_start_includes_the_end_and_keeps_the_limit():
    ticks = Ticks(["@hourly"], None)
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
    ("cron", "after", "want"),
    [
        pytest.param("30 2 * * *", "03-28T12:00", ["03-29T01:00", "03-30T00:30"], id="a time left out comes after"),
        pytest.param("0,30 2 * * *", "03-28T12:00", ["03-29T01:00", "03-30T00:00"], id="two of them come as one"),
        pytest.param(
            "30 2 * * *", "10-24T12:00", ["10-25T00:30", "10-26T01:30"], id="a time that comes twice counts once"
        ),
        pytest.param("30 2 * * *", "10-25T01:15", ["10-26T01:30"], id="also when asked in the second hour"),
        pytest.param("30 * * * *", "10-24T23:45", ["10-25T00:30", "10-25T01:30"], id="hourly is hourly in both hours"),
        pytest.param("*/30 1-3 * * *", "03-29T00:15", ["03-29T00:30", "03-29T01:00"], id="or none"),
    ],
)
def test_the_clock_of_berlin_is_set(cron, after, want):
    ticks = Ticks([cron], BERLIN)
    got = ticks.between(utc(f"2026-{after}"), utc("2027-01-01T00:00"), len(want))
    assert got == [utc(f"2026-{time}") for time in want]


def test_the_last_tick_is_found_across_the_hour_that_comes_twice():
    ticks = Ticks(["30 2 * * *"], BERLIN)
    assert ticks.previous(utc("2026-10-25T01:15")) == utc("2026-10-25T00:30")
    assert ticks.previous(utc("2026-03-29T01:00:01")) == utc("2026-03-29T01:00")


fields = st.tuples(
    st.sampled_from(["0", "30", "*", "*/15", "5,35", "0-59/20"]),
    st.sampled_from(["*", "2", "1-3", "*/2", "0,23", "2,3"]),
    st.sampled_from([("*", "*"), ("1", "*"), ("L", "*"), ("*", "0"), ("*", "MON-FRI"), ("*", "7#1"), ("25-31", "*")]),
    st.sampled_from(["*", "3", "10", "MAR-NOV"]),
)


@given(
    fields,
    # Not Lord Howe, whose clock moves by half an hour: coming from before, cronsim passes over ticks of that day.
    st.sampled_from([BERLIN, "America/New_York", "Pacific/Apia", "Asia/Kathmandu", "UTC"]),
    # Around the day that Samoa left out, and around the days when clocks are set.
    st.sampled_from(
        [utc("2011-12-28T00:00"), utc("2026-03-27T00:00"), utc("2026-10-01T00:00"), utc("2026-10-24T00:00")]
    ),
    st.timedeltas(timedelta(), timedelta(days=12)),
)
@example(("0", "2,3", ("*", "*"), "*"), BERLIN, utc("2026-10-25T01:15"), timedelta())
@example(("*/15", "2", ("*", "*"), "*"), BERLIN, utc("2026-10-25T01:15"), timedelta())
def test_looking_back_finds_what_looking_ahead_passed(parts, zone, base, since):
    minute, hour, (day, weekday), month = parts
    start = base + since
    ticks = Ticks([f"{minute} {hour} {day} {month} {weekday}"], zone)
    ahead = ticks.between(start, start + timedelta(days=800), 6)
    assert ahead == sorted(set(ahead))
    assert all(tick > start for tick in ahead)
    for tick, following in pairwise(ahead):
        assert ticks.next(tick) == following
        assert ticks.previous(following) == tick
        assert ticks.previous(following - timedelta(seconds=1)) == tick


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_its_expression(alias):
    start = utc("2026-01-15T10:30")
    assert Ticks([alias.upper()], None).next(start) == Ticks([ALIASES[alias]], None).next(start)


@pytest.mark.parametrize(
    ("expression", "want"),
    [
        ("61 * * * *", "the minute '61' of '61 * * * *' can't be read"),
        ("* 24 * * *", "the hour '24'"),
        ("* * 0 * *", "the day-of-month '0'"),
        ("* * * 13 *", "the month '13'"),
        ("* * * * 8", "the day-of-week '8'"),
        ("? * * * *", "write * for any"),
        ("*/0 * * * *", "the minute '*/0'"),
        ("5-1 * * * *", "the minute '5-1'"),
        ("٣ * * * *", "the minute '٣'"),
        ("* * * * 1#2,3/2,#", "the day-of-week"),
        ("9" * 250 + " * * * *", "the minute"),
        ("0 30 2 * * *", "has 6 fields, but cron has five: minute hour day-of-month month day-of-week, no seconds"),
        ("* * * *", "has 4 fields"),
        (" ", "has 0 fields"),
        ("TZ=UTC * * * * *", "names a zone: give it in timeZone"),
        ("CRON_TZ=UTC * * * * *", "names a zone: give it in timeZone"),
        ("@dayly", 'there is no @dayly (did you mean "@daily"?)'),
        ("@every 5m", "there is no @every: write the times out"),
        ("@reboot", "there is no @reboot"),
        ("0 0 30 2 *", "matches no day that exists"),
        ("0 0 31 4,6,9,11 *", "matches no day that exists"),
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
        ("localtime", "write an IANA name"),
        ("../etc/passwd", "write an IANA name"),
        ("/etc/passwd", "write an IANA name"),
        ("Europe", "there is no time zone"),
        ("", "there is no time zone"),
        ("\0", "there is no time zone"),
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
        ticks = Ticks([text], BERLIN)
    except InvalidSpecError as error:
        assert error.problems[0].path == "spec.cron[0]"  # noqa: PT017 - either is fine, and this is half of it
    else:
        assert ticks.next(utc("2026-01-01T00:00")) is not None


def test_there_is_nothing_before_the_beginning_and_after_the_end():
    ticks = Ticks(["0 0 1 1 *"], BERLIN)
    assert ticks.next(datetime(9999, 12, 31, tzinfo=UTC)) is None
    assert ticks.previous(datetime(1, 1, 1, tzinfo=UTC)) is None
