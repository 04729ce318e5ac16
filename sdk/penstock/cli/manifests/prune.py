"""Takes out what cannot be read of an object, so that the rest can be checked as well. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from penstock.errors import Problem

_STEP: Final = re.compile(r"[^.\[\]]+|\[\d+\]")
_LISTS_OF_TASKS: Final = frozenset({"tasks", "finally"})
_DECLARATIONS: Final = frozenset({"params", "tasks", "outputs"})
"""Fields that others refer to: without one of them, other problems may be due to its removal."""
_FAN_OUT: Final = {"items": [""]}
"""In place of a forEach that cannot be read: the task's `item` and `index` have a meaning."""

_TICKS: Final = frozenset({"cron", "interval", "at", "rrule", "events"})
_TICK: Final = ["@daily"]
"""A Schedule must have one of these fields; this `cron` is in place of one that cannot be read."""


def prune(content: Mapping[str, Any], problems: Iterable[Problem]) -> Mapping[str, Any] | None:
    """Take out the fields that problems are about.

    What others refer to is replaced by something valid.

    Args:
        content: the object.
        problems: what is wrong with single fields.

    Returns:
        A copy without them; None if that would not be the same object.
    """
    pruned = copy.deepcopy(dict(content))
    for number, problem in enumerate(problems):
        steps = [step if step[0] != "[" else int(step[1:-1]) for step in _STEP.findall(problem.path)]
        if not _prune_one(pruned, steps, f"unnamed{number}"):
            return None
    return pruned


def _prune_one(pruned: dict[str, Any], steps: list[str | int], placeholder: str) -> bool:
    if len(steps) >= 2 and isinstance(steps[-1], int) and steps[-2] in _LISTS_OF_TASKS:  # noqa: PLR2004 - list and position
        parent, position = _find(pruned, steps[:-1]), steps[-1]
        if not isinstance(parent, list) or position >= len(parent):
            return False
        parent[position] = _task_like(parent[position], placeholder)
        return True
    # Removing an item of a list would move the others: the whole list goes.
    while steps and isinstance(steps[-1], int):
        steps.pop()
    if not steps or steps == ["spec"] or steps[-1] in _DECLARATIONS:
        return False
    parent, field = _find(pruned, steps[:-1]), steps[-1]
    if not isinstance(parent, dict):
        return False
    if field == "name":
        parent["name"] = placeholder
    elif field == "forEach":
        parent["forEach"] = _FAN_OUT
    else:
        parent.pop(field, None)
        if field in _TICKS and steps == ["spec", field] and pruned.get("kind") == "Schedule":
            parent.setdefault("cron", _TICK)
    return True


def _find(content: Any, steps: Iterable[str | int]) -> Any:
    for step in steps:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def _task_like(given: Any, placeholder: str) -> dict[str, Any]:
    """Return a valid task that others can refer to by the same name."""
    name = given.get("name") if isinstance(given, Mapping) else None
    return {"name": name if isinstance(name, str) else placeholder, "image": "none:1", "command": ["none"]}


def is_new(problem: Problem, known: Iterable[Problem]) -> bool:
    """Whether a problem is about another field than those that are known."""
    return not any(
        problem.path == each.path or problem.path.startswith((f"{each.path}.", f"{each.path}[")) for each in known
    )
