"""Similar names, for messages about unknown names."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable
from itertools import takewhile
from typing import Final

MAX_LISTED: Final = 10
MAX_LENGTH_DIFFERENCE: Final = 4
MAX_COMPARED: Final = 50
"""difflib takes 40 microseconds a name: among thousands of names, only the likely ones are compared."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Suggest the known name that was probably meant.

    Args:
        name: what was written.
        known: what exists.

    Returns:
        ` (did you mean "..."?)`, to follow the wrong name in a message; an empty string if no name is similar.
    """
    likely = [one for one in known if abs(len(one) - len(name)) <= MAX_LENGTH_DIFFERENCE]
    if len(likely) > MAX_COMPARED:
        likely = heapq.nlargest(MAX_COMPARED, likely, key=lambda one: _common_ends(name, one))
    nearest = difflib.get_close_matches(name, likely, n=1)
    return f' (did you mean "{nearest[0]}"?)' if nearest else ""


def _common_ends(one: str, other: str) -> int:
    """Count the characters that two names share at their start and end: a typo leaves most of them."""
    start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    end = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reversed(one), reversed(other), strict=False)))
    return start + end


def enumerate_names(names: Iterable[str]) -> str:
    """List names for a message: at most ten of them, then how many more there are."""
    every = list(names)
    listed = ", ".join(every[:MAX_LISTED]) or "nothing"
    return f"{listed} and {len(every) - MAX_LISTED} more" if len(every) > MAX_LISTED else listed
