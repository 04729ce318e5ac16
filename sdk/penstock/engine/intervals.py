"""Sets of indexes as text: `0-411,413`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from penstock.errors import StoredStatusError

MAX_INDEX: Final = 1_000_000
"""Ten times the items of the biggest fan-out; reading more takes as long as it likes."""


def encode_intervals(indexes: Iterable[int]) -> str:
    """Write ascending indexes as intervals."""
    parts: list[str] = []
    first = last = -2
    for index in indexes:
        if index == last + 1:
            last = index
            continue
        if last >= 0:
            parts.append(str(first) if first == last else f"{first}-{last}")
        first = last = index
    if last >= 0:
        parts.append(str(first) if first == last else f"{first}-{last}")
    return ",".join(parts)


def decode_intervals(text: str) -> Iterator[int]:
    """Read what `encode_intervals` wrote.

    Raises:
        StoredStatusError: the text is not a list of intervals.
    """
    for part in text.split(",") if text else []:
        first, _, last = part.partition("-")
        try:
            indexes = range(int(first), int(last or first) + 1)
        except ValueError:
            indexes = range(MAX_INDEX, MAX_INDEX)
        if indexes.stop >= MAX_INDEX:
            raise StoredStatusError(f"{part!r} is not an item index or a range of them, such as 413 or 0-411")
        yield from indexes
