"""Paths into the values of expressions: `tasks.list-files.outputs.files[0]`.

Most expressions are only a path. Those are followed here, without CEL. That is faster, exact for every JSON value, and
keeps the order of objects. And when a path does not exist, the message can say how far it exists and what is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.engine.suggestion import enumerate_names, suggest

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_TEXT = 200


class Gap(NamedTuple):
    """The place from which on a path does not exist."""

    key: Any
    """The key or index that does not exist."""
    message: str


class Path(NamedTuple):
    """A root and the steps from it.

    Args:
        root: name of the root.
        steps: keys, indexes, and paths to a key or index (as in `item.files[index]`).
    """

    root: str
    steps: tuple[str | int | Path, ...]

    def __str__(self) -> str:
        """Return the path as a user writes it."""
        return self.root + "".join(
            f".{step}" if position == 0 and self.root == "tasks" else _write_step(step)
            for position, step in enumerate(self.steps)
        )

    def follow(self, values: Mapping[str, Any]) -> Any | Gap:
        """Follow the path.

        Args:
            values: the roots' values.

        Returns:
            The value at its end, or the place from which on it does not exist.
        """
        if self.root not in values:
            return Gap(self.root, f"{self.root} has no value here")
        value = values[self.root]
        for position, step in enumerate(self.steps):
            key: Any = step
            if isinstance(step, Path):
                key = step.follow(values)
                if isinstance(key, Gap):
                    return key
            value = _follow_step(value, key, Path(self.root, self.steps[:position]))
            if isinstance(value, Gap):
                return value
        return value


def _write_step(step: Any) -> str:
    if isinstance(step, str):
        return f".{step}" if _PLAIN_KEY.fullmatch(step) else f'["{step}"]'
    return f"[{step}]"


def _follow_step(value: Any, key: Any, path: Path) -> Any | Gap:
    if isinstance(value, Mapping):
        if isinstance(key, str) and key in value:
            return value[key]
    elif isinstance(value, list) and isinstance(key, int) and not isinstance(key, bool) and 0 <= key < len(value):
        return value[key]
    return Gap(key, _describe_gap(value, key, path))


def _describe_gap(value: Any, key: Any, path: Path) -> str:
    if isinstance(value, Mapping):
        if not isinstance(key, str):
            return f"{path} is an object: its keys are strings; got {describe(key)}"
        there = f"it has {enumerate_names(str(name) for name in value)}" if value else "it is empty"
        return f'{path} has no "{key}"{suggest(key, value)}: {there}'
    if isinstance(value, list):
        if isinstance(key, bool) or not isinstance(key, int):
            return f"{path} is a list: its indexes are whole numbers; got {describe(key)}"
        return f"{path} has {len(value)} items: there is no [{key}]"
    return f"{path} is {describe(value)}: it has no {_write_step(key)}"


def describe(value: Any) -> str:
    """Describe a value for a message."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f'the string "{value}"' if len(value) <= MAX_TEXT else f"a string of {len(value)} characters"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list) else f"a {type(value).__name__}"
