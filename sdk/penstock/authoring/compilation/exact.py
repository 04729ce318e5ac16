"""Values that the API server keeps exactly."""

from __future__ import annotations

from typing import Any, Final

LARGEST: Final = 2**63 - 1
"""The largest integer of the API server and of expressions."""


def is_exact(value: Any) -> bool:
    """Whether the API server keeps a value exactly: it stores 2.0 as 2, and does not keep the order of keys.

    Integers beyond 64 bits become floats.
    """
    if isinstance(value, list):
        return all(is_exact(each) for each in value)
    if type(value) is int:
        return abs(value) <= LARGEST
    return value is None or type(value) in {bool, str}


def is_text(value: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
