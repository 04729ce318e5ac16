"""How deeply a value is nested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from penstock.errors import Problem

MAX_LEVELS: Final = 80
"""Of a whole spec: those of a value in it (64), and those around it."""
SHOWN_STEPS: Final = 8


def is_deeper(value: Any, levels: int) -> bool:
    """Whether a value has lists and objects below a number of levels. Nothing here recurses: it may have any depth."""
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(levels):
        if not level:
            return False
        below = [inner for one in level for inner in _inside(one) if isinstance(inner, list | dict)]
        # YAML's aliases may name one value many times.
        level = list({id(one): one for one in below}.values())
    return bool(level)


def find_too_deep(value: Any, path: str) -> Problem | None:
    """Find a part of a spec that is nested too deeply to be worked with; None if there is none.

    Args:
        value: the spec, as JSON has it.
        path: its field path.
    """
    if not is_deeper(value, MAX_LEVELS):
        return None
    left, was_index = MAX_LEVELS, False
    for _ in range(SHOWN_STEPS):
        left -= 1
        step, value = next(item for item in _items(value) if is_deeper(item[1], left))
        if isinstance(step, int) and was_index:
            break
        was_index = isinstance(step, int)
        path += f"[{step}]" if was_index else f".{step}"
    return Problem(path, f"is nested too deeply: a spec has at most {MAX_LEVELS} levels")


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, Mapping) else value


def _items(value: Any) -> Any:
    return value.items() if isinstance(value, Mapping) else enumerate(value)
