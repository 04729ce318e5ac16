"""Times as typed on the command line."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from penstock.api.duration import duration_s
from penstock.drawing.task_rows import format_duration
from penstock.errors import CommandError, DurationError

FORMS: Final = "+90s, +2h, 14:30, 2026-11-22T14:30 (both in local time), or 2026-11-22T14:30:00+01:00"
DAY_S: Final = 86_400
_CLOCK: Final = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


def read_moment(text: str, now: dt.datetime) -> dt.datetime:
    """Read a future time.

    Args:
        text: `+` and a duration, a time of day (its next occurrence), or a date with time in ISO 8601.
        now: the current time, in the time zone of this machine.

    Returns:
        The time; naive (local time) if the text has no UTC offset.

    Raises:
        CommandError: the text is invalid; the message lists the formats.
    """
    if text.startswith("+"):
        try:
            return now + dt.timedelta(seconds=duration_s(text[1:]))
        except (DurationError, OverflowError) as error:
            raise CommandError(f"--at {text}: {error}") from error
    try:
        if _CLOCK.fullmatch(text):
            time = dt.time.fromisoformat(text.zfill(5) if text.count(":") == 1 else text.zfill(8))
            due = dt.datetime.combine(now.date(), time)
            return due if due > now.replace(tzinfo=None) else due + dt.timedelta(days=1)
        return dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"--at {text}: invalid time; use {FORMS}") from error


def write_moment(moment: dt.datetime) -> str:
    """Format a time for the API: RFC 3339, UTC, whole seconds, rounded up so that nothing starts too early."""
    whole = moment.astimezone(dt.UTC)
    if whole.microsecond:
        whole = whole.replace(microsecond=0) + dt.timedelta(seconds=1)
    return whole.isoformat().replace("+00:00", "Z")


def format_distance(moment: dt.datetime, now: dt.datetime) -> str:
    """Format how far a time is away: `in 3h05m`, `5m12s ago`, `in 12d`."""
    distance_s = (moment - now).total_seconds()
    days = int(abs(distance_s) // DAY_S)
    length = f"{days}d" if days > 1 else format_duration(abs(distance_s))
    return f"in {length}" if distance_s >= 0 else f"{length} ago"
