"""Removes the fields of an object that cannot be read, so that the rest can be checked as well. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from penstock.errors import Problem

_STEP: Final = re.compile(r"[^.\[\]]+|\[\d+\]")
DECLARATIONS: Final = frozenset({"params", "tasks", "finally", "forEach", "outputs"})
"""Fields that others refer to: without one of them, other problems may be due to its removal."""


def prune(content: Mapping[str, Any], problems: Iterable[Problem]) -> Mapping[str, Any] | None:
    """Remove the fields that problems are about.

    Args:
        content: the object.
        problems: what is wrong with single fields.

    Returns:
        A copy without them; None if that would not be the same object.
    """
    pruned = copy.deepcopy(dict(content))
    for problem in problems:
        steps = [step if step[0] != "[" else int(step[1:-1]) for step in _STEP.findall(problem.path)]
        # Removing an item of a list would move the others: the whole list goes.
        while steps and isinstance(steps[-1], int):
            steps.pop()
        if not steps or steps == ["spec"] or steps[-1] in DECLARATIONS:
            return None
        parent: Any = pruned
        for step in steps[:-1]:
            try:
                parent = parent[step]
            except (KeyError, IndexError, TypeError):
                return None
        if not isinstance(parent, dict):
            return None
        parent.pop(steps[-1], None)
    return pruned


def is_new(problem: Problem, known: Iterable[Problem]) -> bool:
    """Whether a problem is about another field than those that are known."""
    return not any(
        problem.path == each.path or problem.path.startswith((f"{each.path}.", f"{each.path}[")) for each in known
    )
