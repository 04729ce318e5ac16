"""Times: seconds since the epoch inside, RFC 3339 in UTC outside."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from penstock.errors import StoredStatusError

FIRST: Final = datetime(1, 1, 1, tzinfo=UTC).timestamp()
LAST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
TIMES_KEPT: Final = 1024
"""Times whose text is remembered: each write of a status repeats most of those of the last one."""


@lru_cache(maxsize=TIMES_KEPT)
def rfc3339(time: float) -> str:
    """Write a time, to the millisecond if it has any; one before or after the calendar is its first or last second."""
    whole, milliseconds = divmod(round(min(max(time, FIRST), LAST) * 1000), 1000)
    text = datetime.fromtimestamp(whole, tz=UTC).isoformat()[:19]
    return f"{text}.{milliseconds:03d}Z" if milliseconds else f"{text}Z"


def epoch(text: str) -> float:
    """Read a time.

    Raises:
        StoredStatusError: the text is not an RFC 3339 time.
    """
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise StoredStatusError(f"{text!r} is not an RFC 3339 time") from error
