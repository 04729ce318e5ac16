"""Sets of indexes as text: `0-411,413`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from penstock.errors import StoredStatusError


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
            yield from range(int(first), int(last or first) + 1)
        except ValueError as error:
            raise StoredStatusError(
                f"{part!r} is not an item index or a range of them, such as 413 or 0-411"
            ) from error
