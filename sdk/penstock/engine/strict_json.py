"""JSON as the API server takes it: numbers within range, and no halves of surrogate pairs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final, NoReturn

from penstock.engine.expressions.input_values import GREATEST_INT, LEAST_INT

SHOWN_CHARACTERS: Final = 100


class BigNumberError(ValueError):
    """A whole number does not fit into 64 bits."""


def load_json(text: str, *, read_whole: Callable[[str], int | float] | None = None) -> Any:
    """Decode JSON.

    Args:
        text: the JSON.
        read_whole: reads whole numbers; `read_int` if not given.

    Raises:
        ValueError: it is not JSON, or the API server would refuse it.
        RecursionError: it is nested too deeply.
    """
    value = json.loads(text, parse_constant=refuse_constant, parse_float=read_float, parse_int=read_whole or read_int)
    # Keys too; an object in the cluster cannot hold half of a surrogate pair.
    check_text(json.dumps(value, ensure_ascii=False))
    return value


def check_text(text: str) -> None:
    """Refuse text that is not Unicode.

    Raises:
        ValueError: it contains half of a surrogate pair.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ValueError(f"half of a surrogate pair, \\u{ord(half):04x}, is not a character") from error


def refuse_constant(word: str) -> NoReturn:
    """Refuse NaN and Infinity.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{word} is not a JSON number")


def read_float(digits: str) -> float:
    """Read a number.

    Raises:
        ValueError: it is out of range.
    """
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:SHOWN_CHARACTERS]} is out of range")
    return number


def read_exact_int(digits: str) -> int:
    """Read a whole number that the API server would not change.

    Raises:
        ValueError: it does not fit into 64 bits.
    """
    number = read_int(digits)
    if isinstance(number, float):
        raise BigNumberError(f"{digits[:SHOWN_CHARACTERS]} does not fit into 64 bits: use a string")
    return number


def read_int(digits: str) -> int | float:
    """Read a whole number as the API server does: beyond 64 bits it becomes a float.

    Raises:
        ValueError: it is out of range.
    """
    number = read_float(digits)
    exact = int(digits) if abs(number) <= 2 * GREATEST_INT else None
    return number if exact is None or not LEAST_INT <= exact <= GREATEST_INT else exact
