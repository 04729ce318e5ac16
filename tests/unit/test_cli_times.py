import datetime as dt

import pytest

from penstock.cli.text.times import read_moment, write_moment
from penstock.errors import CommandError

NOW = dt.datetime(2026, 11, 22, 14, 0, tzinfo=dt.timezone(dt.timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("+90s", NOW + dt.timedelta(seconds=90), id="so long from now"),
        pytest.param("14:30", dt.datetime(2026, 11, 22, 14, 30), id="a time of day that is to come"),  # noqa: DTZ001 - of this machine's zone
        pytest.param("9:30", dt.datetime(2026, 11, 23, 9, 30), id="a time of day that has passed is tomorrow's"),  # noqa: DTZ001 - as above
        pytest.param("2026-12-01T06:00", dt.datetime(2026, 12, 1, 6), id="a local time"),  # noqa: DTZ001 - as above
        pytest.param("2026-12-01T06:00:00Z", dt.datetime(2026, 12, 1, 6, tzinfo=dt.UTC), id="a time with a zone"),
        pytest.param("2026-12-01", dt.datetime(2026, 12, 1), id="a day begins at midnight"),  # noqa: DTZ001 - as above
    ],
)
def test_times_are_read_as_people_type_them(text, want):
    assert read_moment(text, NOW) == want


@pytest.mark.parametrize("text", ["tomorrow", "+2 hours", "+", "25:00", "2026-13-01"])
def test_an_invalid_time_is_rejected(text):
    with pytest.raises(CommandError, match="--at "):
        read_moment(text, NOW)


def test_times_are_written_in_utc_and_never_too_soon():
    assert write_moment(NOW) == "2026-11-22T13:00:00Z"
    assert write_moment(NOW.replace(microsecond=1)) == "2026-11-22T13:00:01Z"
