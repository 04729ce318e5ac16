"""Values as JSON: whether Kubernetes keeps them exactly, and how they are shown to people."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import math
import os
from typing import Any, Final

INT64: Final = 2**63
MAX_DEPTH: Final = 60
"""Expressions accept values with 64 levels."""
_PLAIN: Final = frozenset({bool, int, float, str, type(None)})


def is_exact(value: Any, depth: int = 0) -> bool:
    """Whether Kubernetes keeps a value exactly: it stores 2.0 as 2, and does not keep the order of keys."""
    kind = type(value)
    if kind in _PLAIN:
        return _is_plain_exact(value)
    if depth >= MAX_DEPTH:
        return False
    if kind is list:
        return all(is_exact(each, depth + 1) for each in value)
    if kind is not dict:
        return False
    keys = list(value)
    return (
        all(type(key) is str and _is_text(key) for key in keys)
        and keys == sorted(keys)
        and all(is_exact(each, depth + 1) for each in value.values())
    )


def _is_plain_exact(value: Any) -> bool:
    if isinstance(value, str):
        return _is_text(value)
    if isinstance(value, float):
        return math.isfinite(value) and not value.is_integer()
    return not isinstance(value, int) or -INT64 <= value < INT64


def is_json(value: Any, depth: int = 0) -> bool:
    """Whether a value is unchanged after encoding to JSON and decoding in Python."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if depth >= 10 * MAX_DEPTH:
        return False
    if kind is list:
        return all(is_json(each, depth + 1) for each in value)
    if kind is dict:
        return all(type(key) is str and is_json(each, depth + 1) for key, each in value.items())
    return False


def readable(value: Any, depth: int = 0) -> Any:  # noqa: PLR0911 - one for each kind
    """Return JSON that shows a value to people."""
    if isinstance(value, enum.Enum):
        return readable(value.value, depth + 1)
    if value is None or isinstance(value, bool | int | float | str):
        return _readable_plain(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return str(value)
    if depth < MAX_DEPTH:
        if isinstance(value, list | tuple | set | frozenset):
            return [readable(each, depth + 1) for each in value]
        if isinstance(value, dict):
            return {str(key): readable(each, depth + 1) for key, each in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return {each.name: readable(getattr(value, each.name), depth + 1) for each in fields}
    return described(value)


def _readable_plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -INT64 <= value < INT64 else str(value)
    if isinstance(value, float):
        # The API server writes whole floats as integers.
        return float(value) if math.isfinite(value) and not _is_too_large(value) else str(value)
    return value.encode("utf-8", "replace").decode().replace("\0", "")


def _is_too_large(value: float) -> bool:
    return value.is_integer() and not -INT64 <= value < INT64


def described(value: Any) -> dict[str, Any]:
    """Return the type and length of a value."""
    kind = type(value)
    description: dict[str, Any] = {
        "type": kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    }
    if isinstance(value, list | tuple | dict | set | frozenset | str | bytes):
        description["length"] = len(value)
    return description


def compact(value: Any) -> str:
    """Return JSON text without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False  # a lone surrogate
    return "\0" not in value
