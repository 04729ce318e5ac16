"""Durations as Kubernetes users write them: `90s`, `5m`, `1h30m`, `250ms`."""

from __future__ import annotations

import re
from typing import Final

from penstock.errors import DurationError

DURATION_PATTERN: Final = r"^([0-9]{1,9}(ms|s|m|h))+$"
LONGEST_S: Final = 3660 * 86_400
"""Ten years. What is longer means forever, and would be beyond the calendar when it is added to a time."""
LONGEST: Final = f"{LONGEST_S // 3600}h"
SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]{1,9})(ms|s|m|h)")


def duration_s(text: str) -> float:
    """Read a duration.

    Args:
        text: one or more of a whole number and a unit of h, m, s, ms; the units of Go's
            `time.ParseDuration` that people write by hand.

    Returns:
        The duration in seconds, ten years at most: a spec that is stored may have a longer one.

    Raises:
        DurationError: the text is not a duration.
    """
    if not re.fullmatch(DURATION_PATTERN, text):
        raise DurationError(f"{text!r} is not a duration: write numbers with units of h, m, s or ms, as in 1h30m")
    return min(_sum_s(text), LONGEST_S)


def is_too_long(text: str) -> bool:
    """Whether a duration is longer than ten years."""
    return _sum_s(text) > LONGEST_S


def _sum_s(text: str) -> float:
    return sum(int(number) * SECONDS[suffix] for number, suffix in _PART.findall(text))
