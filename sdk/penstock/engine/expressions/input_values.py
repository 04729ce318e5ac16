"""The values that expressions get: checked, because CEL handles some wrongly, and weighed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from penstock.engine.expressions.failure import Failure
from penstock.engine.expressions.size import bytes_of

MAX_DEPTH: Final = 64
"""Nesting of a value that goes in or comes out; CEL's library crashes the process somewhere above 3,000."""
MAX_SHOWN_PATH: Final = 80
LEAST_INT: Final = -(2**63)
GREATEST_INT: Final = 2**63 - 1
INFINITE: Final = 2**62
"""The weight of what was not looked at."""


class _UnfitError(Exception):
    """A value that CEL would handle wrongly.

    Args:
        message: what is wrong with it.
    """

    def __init__(self, message: str) -> None:
        self.message = message
        self.places: list[str | int] = []
        """Keys and indexes that lead to it, the last one first."""
        super().__init__(message)

    def path(self, root: str) -> str:
        steps = (f".{key}" if isinstance(key, str) else f"[{key}]" for key in reversed(self.places))
        path = root + "".join(steps)
        return path if len(path) <= MAX_SHOWN_PATH else f"{path[:MAX_SHOWN_PATH]}..."


def weigh(values: Mapping[str, Any], *, most: int) -> int:
    """Return the weight of values that were checked before; of more than `most` it returns no more than that.

    The weight of a value is 1 for itself and each value in it, and the bytes of all strings and keys.
    """
    try:
        return min(Inputs(most).weigh(values), most)
    except Failure:
        # The expression that uses them reports it.
        return most


class Inputs:
    """Weighs values, and refuses those that CEL handles wrongly: it wraps integers and cuts strings at NUL.

    Args:
        most: beyond so many values the rest is not looked at, and weighs infinitely much.

    Attributes:
        values: how many values there are, at least.
        longest: the greatest length of a list or object.
    """

    __slots__ = ("_most", "longest", "values")

    def __init__(self, most: int) -> None:
        self._most = most
        self.values = 0
        self.longest = 0

    def weigh(self, data: Mapping[str, Any]) -> int:
        """Return the weight of all values of the roots.

        Raises:
            Failure: one cannot be handled.
        """
        weight = 0
        for root, value in data.items():
            try:
                weight += self._weigh(value, 0)
            except _UnfitError as error:
                raise Failure(f"{error.path(root)} {error.message}") from error
        return weight

    def _weigh(self, value: Any, depth: int) -> int:
        if isinstance(value, str):
            if "\0" in value:
                raise _UnfitError("contains a NUL character, which expressions cannot handle")
            return 1 + bytes_of(value)
        if isinstance(value, int):
            if not LEAST_INT <= value <= GREATEST_INT:
                raise _UnfitError(f"must fit into 64 bits; got {value}: use a string")
        elif isinstance(value, list | dict):
            return self._weigh_container(value, depth)
        return 1

    def _weigh_container(self, value: list[Any] | dict[str, Any], depth: int) -> int:
        if depth == MAX_DEPTH:
            # The library crashes on deep nesting.
            raise _UnfitError(f"is nested deeper than {MAX_DEPTH} levels")
        self.longest = max(self.longest, len(value))
        self.values += len(value)
        if self.values > self._most:
            return INFINITE
        weight = 1
        place: Any = None
        try:
            for place, one in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(place, str):
                    weight += self._weigh(place, depth)
                weight += self._weigh(one, depth + 1)
        except _UnfitError as error:
            error.places.append(place)
            raise
        return weight
