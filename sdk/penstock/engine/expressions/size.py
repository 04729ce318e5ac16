"""How large a value is or may become: what the cost of an expression is computed from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final, NamedTuple

MOST: Final = 2**62
"""In place of any larger number: sizes can grow exponentially with the length of an expression."""
KNOWN_TEXTS: Final = 64
"""Strings of which one value is, that are remembered as they are."""
KNOWN_CHARACTERS: Final = 4096
"""Of one of them."""


class Share(NamedTuple):
    """What all values that an expression has in the iterations of a loop amount to.

    Attributes:
        loop: number of the loop; inner ones have higher numbers.
        text_bytes: of what the loop iterates over: what its iterations see of it is at most all of it.
        values: of the same.
        added_bytes: what each iteration adds to it.
        added_values: the same.
    """

    loop: int
    text_bytes: int
    values: int
    added_bytes: int = 0
    added_values: int = 0


class Size(NamedTuple):
    """An upper bound of a value's size.

    Attributes:
        text_bytes: of all its strings and keys together.
        values: itself and all values in it.
        length: of a list or object: its elements.
        element: returns the size of its largest element; None: as large as the value itself.
        texts: the strings of which it is one, where they are known: a regular expression costs what it says.
        share: of what all values that it has in the iterations of a loop are parts.
    """

    text_bytes: int = 0
    values: int = 1
    length: int = 0
    element: Callable[[], Size] | None = None
    texts: frozenset[str] | None = None
    share: Share | None = None

    def largest_element(self) -> Size:
        """Return the size of any element, key or field."""
        element = self if self.element is None else self.element()
        return element if element.share == self.share else element._replace(share=self.share)

    def without_texts(self) -> Size:
        """Return it as that of any string of this size."""
        return self if self.texts is None else self._replace(texts=None)


SCALAR: Final = Size()


def unknown(weight: int, length: int) -> Size:
    """Return the size of a value of which nothing but its weight and its longest list or object is known."""
    return Size(weight, weight, length)


def text_size(text_bytes: int) -> Size:
    """Return the size of a string."""
    return Size(min(text_bytes, MOST))


def join(one: Size, other: Size) -> Size:
    """Return the size of a value that is one or the other."""
    if one is other:
        return one
    return Size(
        max(one.text_bytes, other.text_bytes),
        max(one.values, other.values),
        max(one.length, other.length),
        # Computed once, here and below: where a value contains another twice, and that one a third, it is needed often.
        cache(lambda: join(one.largest_element(), other.largest_element())),
        _known(one.texts | other.texts) if one.texts and other.texts else None,
        one.share if one.share == other.share else shared(one, other),
    )


def join_all(sizes: list[Size]) -> Size:
    """Return the size of a value that is one of many; that of a number if there are none."""
    while len(sizes) > 1:
        # In pairs, and those in pairs: what is computed later for each then nests no deeper than their logarithm.
        pairs = itertools.zip_longest(sizes[::2], sizes[1::2])
        sizes = [one if other is None else join(one, other) for one, other in pairs]
    return sizes[0] if sizes else SCALAR


def concatenation(one: Size, other: Size) -> Size:
    """Return the size of two strings or lists put together."""
    texts = None
    if one.texts and other.texts and len(one.texts) * len(other.texts) <= KNOWN_TEXTS:
        texts = _known(frozenset(first + second for first in one.texts for second in other.texts))
    return Size(
        min(one.text_bytes + other.text_bytes, MOST),
        min(one.values + other.values, MOST),
        min(one.length + other.length, MOST),
        cache(lambda: join(one.largest_element(), other.largest_element())),
        texts,
        shared(one, other),
    )


def shared(one: Size, other: Size) -> Share | None:
    """Return the share of a value that consists of two."""
    if one.share is None or (other.share is not None and other.share.loop > one.share.loop):
        one, other = other, one
    share = one.share
    if share is None:
        return None
    if other.share is not None and other.share.loop == share.loop:
        return Share(share.loop, *(mine + its for mine, its in zip(share[1:], other.share[1:], strict=True)))
    return share._replace(
        added_bytes=share.added_bytes + other.text_bytes, added_values=share.added_values + other.values
    )


def _known(texts: frozenset[str]) -> frozenset[str] | None:
    is_known = 0 < len(texts) <= KNOWN_TEXTS and all(len(text) <= KNOWN_CHARACTERS for text in texts)
    return texts if is_known else None


def constant_text(text: str) -> Size:
    """Return the size of a literal string."""
    return Size(bytes_of(text), texts=_known(frozenset([text])))


def bytes_of(text: str) -> int:
    """Return an upper bound of a string's bytes in UTF-8 without encoding it."""
    return len(text) if text.isascii() else 4 * len(text)


def measure(value: Any) -> Size:
    """Measure a JSON value."""
    return _measure([value])


def _measure(alternatives: list[Any]) -> Size:
    """Measure the largest of several values in every respect."""
    text_bytes, values, length = 0, 1, 0
    for value in alternatives:
        if isinstance(value, str):
            text_bytes = max(text_bytes, bytes_of(value))
        elif isinstance(value, list | dict):
            length = max(length, len(value))
            one_bytes, one_values = _total(value)
            text_bytes, values = max(text_bytes, one_bytes), max(values, one_values)
    if not length:
        strings = frozenset(value for value in alternatives[: KNOWN_TEXTS + 1] if isinstance(value, str))
        return Size(text_bytes, values, texts=_known(strings) if len(alternatives) <= KNOWN_TEXTS else None)
    return Size(text_bytes, values, length, cache(lambda: _measure(list(_elements(alternatives)))))


def _elements(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, dict):
            yield from value
            yield from value.values()
        elif isinstance(value, list):
            yield from value


def _total(value: Any) -> tuple[int, int]:
    """Return the bytes of all strings in a value, and how many values it consists of."""
    text_bytes = values = 0
    left = [value]
    while left:
        one = left.pop()
        values += 1
        if isinstance(one, str):
            text_bytes += bytes_of(one)
        elif isinstance(one, list):
            left.extend(one)
        elif isinstance(one, dict):
            text_bytes += sum(map(bytes_of, one))
            left.extend(one.values())
    return text_bytes, values
