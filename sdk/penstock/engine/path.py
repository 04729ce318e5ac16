"""Paths into the values that expressions see: `tasks.list-files.outputs.files[0]`.

Most expressions are nothing but a path. Those are followed here, without CEL: faster, exact for every JSON value, in the
order that objects were written in; and when a path leads nowhere, the message can say how far it led and what is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.engine.suggestion import enumerate_names, suggest

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_TEXT = 200


class Gap(NamedTuple):
    """The place where a path ends before its end."""

    key: Any
    """The key or index that is not there."""
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
            The value at its end, or where and why it ends before.
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
            value = _take(value, key, Path(self.root, self.steps[:position]))
            if isinstance(value, Gap):
                return value
        return value


def _write_step(step: str | int | Path) -> str:
    if isinstance(step, str):
        return f".{step}" if _PLAIN_KEY.fullmatch(step) else f'["{step}"]'
    return f"[{step}]"


def _take(value: Any, key: Any, path: Path) -> Any | Gap:
    if isinstance(value, Mapping):
        if isinstance(key, str) and key in value:
            return value[key]
        if not isinstance(key, str):
            return Gap(key, f"{path} is an object: its keys are strings, not {describe(key)}")
        there = enumerate_names(str(name) for name in value)
        return Gap(key, f'{path} has no "{key}"{suggest(key, value)}: it has {there}' if value else f"{path} is empty")
    if isinstance(value, list | tuple):
        if isinstance(key, bool) or not isinstance(key, int):
            return Gap(key, f"{path} is a list: its indexes are whole numbers, not {describe(key)}")
        if 0 <= key < len(value):
            return value[key]
        return Gap(
            key, f"{path} has {len(value)} items, so there is no [{key}]" if value else f"{path} is an empty list"
        )
    return Gap(
        key, f"{path} is {describe(value)}, so it has no {_write_step(key) if isinstance(key, str | int) else key}"
    )


def describe(value: Any) -> str:
    """Say what a value is, for a message."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f'the string "{value}"' if len(value) <= MAX_TEXT else f"a string of {len(value)} characters"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
