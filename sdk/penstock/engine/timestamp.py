"""Times: seconds since the epoch inside, RFC 3339 in UTC outside."""

from __future__ import annotations

from datetime import UTC, datetime

from penstock.errors import StoredStatusError


def rfc3339(time: float) -> str:
    """Write a time, to the millisecond if it has any."""
    whole, milliseconds = divmod(round(time * 1000), 1000)
    text = datetime.fromtimestamp(whole, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{milliseconds:03d}Z" if milliseconds else f"{text}Z"


def epoch(text: str) -> float:
    """Read a time.

    Raises:
        StoredStatusError: the text is not an RFC 3339 time.
    """
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise StoredStatusError(f"{text!r} is not an RFC 3339 time") from error
