"""Logs of containers: which part of one is wanted, and its lines as they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple


class LogOptions(NamedTuple):
    """Which lines of a log to read."""

    since_s: int | None = None
    tail: int | None = None
    timestamps: bool = False

    def given(self) -> dict[str, str]:
        """Return the options as parameters of a request."""
        options = {"sinceSeconds": self.since_s, "tailLines": self.tail, "timestamps": self.timestamps or None}
        return {name: json.dumps(value) for name, value in options.items() if value is not None}


WHOLE_LOG: Final = LogOptions()


def log_lines(response: Any) -> Iterator[str]:
    """Yield the lines of a response of urllib3 as they come, without line ends."""
    rest = b""
    for chunk in response.stream(decode_content=True):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")
