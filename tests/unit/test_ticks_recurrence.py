from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from penstock.engine.ticks.recurrence import Recurrence

NEW_YORK = ZoneInfo("America/New_York")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("rule", "after", "want"),
    [
        ("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18", "2026-01-01", ["2026-01-30T18:00", "2026-02-27T18:00"]),
        ("FREQ=MONTHLY", "2026-01-15", ["2026-02-01T00:00", "2026-03-01T00:00"]),
        ("FREQ=WEEKLY", "2026-01-01", ["2026-01-05T00:00", "2026-01-12T00:00"]),
        ("FREQ=YEARLY", "2026-01-02", ["2027-01-01T00:00", "2028-01-01T00:00"]),
        ("RRULE:FREQ=DAILY;BYHOUR=9,17;BYMINUTE=30", "2026-01-01", ["2026-01-01T09:30", "2026-01-01T17:30"]),
        ("FREQ=DAILY;BYHOUR=9;BYSECOND=0;", "2026-01-01", ["2026-01-01T09:00", "2026-01-02T09:00"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "2026-05-01", ["2026-05-29T00:00", "2026-06-30T00:00"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "2097-01-01", ["2104-02-29T00:00", "2108-02-29T00:00"]),
        ("FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO", "2026-01-01", ["2026-12-28T00:00", "2032-12-27T00:00"]),
        # The day of a beginning that not every month has.
        (
            "DTSTART:20240131T091500\nRRULE:FREQ=MONTHLY;INTERVAL=2",
            "2026-01-01",
            ["2026-01-31T09:15", "2026-03-31T09:15"],
        ),
        ("DTSTART:20240103\nFREQ=WEEKLY;INTERVAL=2;BYDAY=WE", "2026-11-01", ["2026-11-04T00:00", "2026-11-18T00:00"]),
        ("DTSTART:20250301T080000\nFREQ=DAILY;INTERVAL=3", "2026-01-01", ["2026-01-01T08:00", "2026-01-04T08:00"]),
        ("DTSTART:20260101\nFREQ=DAILY;COUNT=3", "2026-01-02", ["2026-01-03T00:00"]),
        ("DTSTART:20990101\nFREQ=DAILY", "2026-01-02", ["2099-01-01T00:00", "2099-01-02T00:00"]),
        ("FREQ=DAILY;UNTIL=20260103", "2026-01-01", ["2026-01-02T00:00", "2026-01-03T00:00"]),
        ("FREQ=DAILY\nEXDATE:20260103,20260104T000000", "2026-01-01", ["2026-01-02T00:00", "2026-01-05T00:00"]),
    ],
)
def test_a_rule_recurs_as_the_rfc_says(rule, after, want):
    recurrence = Recurrence(rule, UTC)
    got = list(islice(recurrence.forward(utc(after)), 2))
    assert [f"{tick:%Y-%m-%dT%H:%M}" for tick in got] == want
    for earlier, later in pairwise(got):
        assert next(recurrence.backward(later)) == earlier


def test_the_end_of_a_rule_may_be_in_utc():
    recurrence = Recurrence("FREQ=DAILY;BYHOUR=9;UNTIL=20260702T130000Z", NEW_YORK)
    assert [f"{tick:%d %H:%M}" for tick in recurrence.forward(utc("2026-07-01T00:00"))] == ["01 13:00", "02 13:00"]


def test_a_time_that_is_left_out_comes_when_the_clock_is_set_and_one_that_comes_twice_once():
    # As for cron.
    recurrence = Recurrence("FREQ=DAILY;BYHOUR=1,2;BYMINUTE=30", NEW_YORK)
    spring = list(islice(recurrence.forward(utc("2026-03-08T05:00")), 3))
    assert [f"{tick:%d %H:%M}" for tick in spring] == ["08 06:30", "08 07:00", "09 05:30"]
    autumn = list(islice(recurrence.forward(utc("2026-11-01T04:00")), 3))
    assert [f"{tick:%d %H:%M}" for tick in autumn] == ["01 05:30", "01 07:30", "02 06:30"]


@pytest.mark.parametrize(
    ("rule", "want"),
    [
        ("", "must have a rule such as"),
        ("BYDAY=MO", "FREQ must be one of YEARLY, MONTHLY, WEEKLY, DAILY"),
        ("FREQ=DALY", "FREQ must be one of"),
        ("FREQ=HOURLY", "use FREQ=DAILY with BYHOUR and BYMINUTE, or cron or interval"),
        ("FREQ=SECONDLY", "not supported"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR=24 is invalid"),
        ("FREQ=DAILY;BYHOUR=-1", "BYHOUR=-1 is invalid"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY=32 is invalid"),
        ("FREQ=MONTHLY;BYDAY=XX", "BYDAY=XX is invalid"),
        ("FREQ=MONTHLY;BYDAY=", "BYDAY= is invalid"),
        ("FREQ=DAILY;BYSECOND=30", "ticks are on whole minutes"),
        ("FREQ=DAILY;BYEASTER=1", "unknown part BYEASTER"),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ occurs twice"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL must be a whole number from 1"),
        ("FREQ=DAILY;INTERVAL=2", "INTERVAL needs a start"),
        ("FREQ=DAILY;COUNT=2", "COUNT needs a start"),
        ("DTSTART:20260101\nFREQ=DAILY;COUNT=1000000", "COUNT must be a whole number from 1 to 1000"),
        ("DTSTART:20260101\nFREQ=DAILY;COUNT=2;UNTIL=20260102", "must have only one of COUNT and UNTIL"),
        ("DTSTART;TZID=Europe/Berlin:20260101T000000\nFREQ=DAILY", "set spec.timeZone"),
        ("DTSTART:2026-01-01\nFREQ=DAILY", "got '2026-01-01'"),
        ("DTSTART:20260230\nFREQ=DAILY", "'20260230' is not a valid date and time"),
        ("RDATE:20260101", "or `at` for other times"),
        ("FREQ=DAILY\nFREQ=WEEKLY", "an entry of its own"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "matches no date within its first 50 years"),
        ("DTSTART:20260102\nFREQ=DAILY;UNTIL=20260101", "matches no date within its first 50 years"),
        ("FREQ=DAILY;BYWEEKNO=1", "BYWEEKNO requires FREQ=YEARLY"),
    ],
)
def test_a_rule_that_can_not_work_is_refused(rule, want):
    with pytest.raises(ValueError, match=r"\w") as caught:
        Recurrence(rule, UTC)
    assert want in str(caught.value)


rules = st.builds(
    lambda frequency, interval, extra: ";".join([f"FREQ={frequency}", f"INTERVAL={interval}", *filter(None, extra)]),
    st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY"]),
    st.integers(1, 4),
    st.tuples(
        st.sampled_from(["", "BYMONTH=3,11", "BYMONTH=2"]),
        st.sampled_from(["", "BYDAY=MO,SU", "BYMONTHDAY=29", "BYMONTHDAY=-1,15"]),
        st.sampled_from(["", "BYHOUR=0,23;BYMINUTE=59"]),
        st.sampled_from(["", "WKST=SU"]),
    ),
)
starts = st.integers(0, 35 * 366 * 1440).map(lambda minutes: datetime(1995, 1, 1) + timedelta(minutes=minutes))  # noqa: DTZ001 - on the wall


@given(rules, starts, st.timedeltas(timedelta(days=-400), timedelta(days=4000)))
def test_a_rule_that_is_started_later_has_the_ticks_of_the_original(rule, start, since):
    # What dateutil itself finds, from the beginning on.
    whole = rrulestr(rule, dtstart=start)
    after = start + since
    want = [wall.replace(tzinfo=UTC) for wall in islice(whole.xafter(after), 5)]
    try:
        recurrence = Recurrence(f"DTSTART:{start:%Y%m%dT%H%M%S}\n{rule}", UTC)
    except ValueError as error:
        assert "matches no date within its first 50 years" in str(error)  # noqa: PT017 - the other half is below
        first = whole.after(start, inc=True)
        assert first is None or first - start > timedelta(days=50 * 366)
        return
    got = list(islice(recurrence.forward(after.replace(tzinfo=UTC)), 5))
    assert got == want[: len(got)]
    assert len(got) == 5 or len(want) == len(got) or want[len(got)] - (got or [want[0]])[-1] > timedelta(days=50 * 366)
    for earlier, later in pairwise(got):
        assert next(recurrence.backward(later)) == earlier


@given(st.text(max_size=30) | st.text("FREQ=DAILYWMONTHUNTIL;:0123456789,-BYSETPO\n", max_size=40))
def test_any_text_is_a_rule_or_refused(text):
    try:
        recurrence = Recurrence(text, NEW_YORK)
    except ValueError:
        return
    assert all(a < b for a, b in pairwise(islice(recurrence.forward(utc("2026-01-01")), 3)))
