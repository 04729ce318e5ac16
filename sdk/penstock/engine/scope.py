"""What an expression may refer to, by the field that it stands in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, NamedTuple

TASK_ATTRIBUTES: Final = ("outputs", "state", "reason", "exitCode")

TASK_ROOTS: Final = frozenset({"params", "tasks", "run"})
"""Roots in args, env, when, forEach and the Flow's outputs."""
ITEM_ROOTS: Final = frozenset({"item", "index"})
"""Further roots in args, env of a task with forEach."""
TICK_ROOTS: Final = frozenset({"tick"})
"""Roots in the params of a Schedule's runs."""
ROOTS: Final = TASK_ROOTS | ITEM_ROOTS | TICK_ROOTS

Fields = Mapping[str, "Fields"]
ROOT_FIELDS: Final[Fields] = MappingProxyType(
    {
        "run": {"name": {}, "namespace": {}, "uid": {}},
        "tick": {"time": {}, "date": {}, "previous": {"date": {}}},
    }
)
"""The fields of roots that always have the same ones; a field without fields is a string."""


class TaskShape(Enum):
    """What a task's outputs look like."""

    PLAIN = auto()
    """One object."""
    FAN_OUT = auto()
    """A list with an object for each item."""


class TaskReference(NamedTuple):
    """What an expression wants to know of a task."""

    task: str
    attribute: str
    """outputs, state, reason or exitCode."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may refer to.

    Args:
        roots: the roots that its field knows.
        params: names of the Flow's params; None when they are not known, then any will do.
        tasks: shape of each task by its name; None when they are not known, then any will do.
    """

    roots: frozenset[str]
    params: frozenset[str] | None = None
    tasks: Mapping[str, TaskShape] | None = None
