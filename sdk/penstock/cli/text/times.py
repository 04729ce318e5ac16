"""Times as people type them."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from penstock.api.duration import duration_s
from penstock.errors import CommandError, DurationError

FORMS: Final = "+90s, +2h, 14:30, 2026-11-22T14:30 (both of this machine's zone), or 2026-11-22T14:30:00+01:00"
_CLOCK: Final = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


def read_moment(text: str, now: dt.datetime) -> dt.datetime:
    """Read a time to come.

    Args:
        text: `+` and a duration, a time of day (the next such), or a date with time in ISO 8601.
        now: the present, in this machine's zone.

    Returns:
        The time; without a zone, as Python has it for times of this machine's, if the text has none.

    Raises:
        CommandError: it can't be read; says which forms there are.
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
        raise CommandError(f"--at {text}: not a time; write {FORMS}") from error


def write_moment(moment: dt.datetime) -> str:
    """Write a time as the API has it: RFC 3339 in UTC, in whole seconds, rounded up lest anything start too soon."""
    whole = moment.astimezone(dt.UTC)
    if whole.microsecond:
        whole = whole.replace(microsecond=0) + dt.timedelta(seconds=1)
    return whole.isoformat().replace("+00:00", "Z")
