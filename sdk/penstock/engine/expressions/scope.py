"""What an expression may refer to, by the field that it stands in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, NamedTuple

TASK_ATTRIBUTES: Final = ("outputs", "state", "reason", "exitCode", "message")
OPTIONAL_OUTPUTS: Final = "?outputs"
"""The attribute of `tasks.x.?outputs`: the outputs if there are any, so x need not complete."""

TASK_ROOTS: Final = frozenset({"params", "tasks", "run"})
"""Roots in args, env, when, forEach and the Flow's outputs."""
ITEM_ROOTS: Final = frozenset({"item", "index"})
"""Further roots of a task with forEach, in the fields of each item."""
FAILURE_ROOTS: Final = frozenset({"params", "failure"})
"""Roots in retry.when."""
KEY_ROOTS: Final = frozenset({"params", "run"})
"""Roots in concurrency.key, which is evaluated before a run has tasks."""
TICK_ROOTS: Final = frozenset({"tick"})
"""Roots in the params of a Schedule's runs."""
EVENT_ROOTS: Final = frozenset({"event"})
"""Roots in the params of a run that an event of a Schedule creates."""
ROOTS: Final = TASK_ROOTS | ITEM_ROOTS | TICK_ROOTS | EVENT_ROOTS | FAILURE_ROOTS

Fields = Mapping[str, "Fields"]
ANYTHING: Final[Fields] = MappingProxyType({"*": {}})
"""In place of the fields of a value that is not known beforehand."""
ROOT_FIELDS: Final[Fields] = MappingProxyType(
    {
        "run": {
            "name": {},
            "namespace": {},
            "uid": {},
            "scheduledTime": {},
            "startTime": {},
            "state": {},
            "reason": {},
            "message": {},
            "failures": ANYTHING,
        },
        "failure": {"reason": {}, "exitCode": {}, "message": {}, "attempt": {}},
        "tick": {"time": {}, "date": {}, "previous": {"date": {}}},
    }
)
"""The fields of roots that always have the same ones; a field without fields is a string or a number."""


END_FIELDS: Final = frozenset({"state", "reason", "message", "failures"})
"""Fields of `run` that are known when all tasks but the finally tasks have finished."""


class TaskShape(Enum):
    """What a task's outputs look like."""

    PLAIN = auto()
    """One object."""
    FAN_OUT = auto()
    """A list with an object for each item."""


class TaskReference(NamedTuple):
    """An attribute of a task that an expression uses."""

    task: str
    attribute: str
    """outputs, ?outputs, state, reason, exitCode or message."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may refer to.

    Args:
        roots: the roots that its field knows.
        params: names of the Flow's params; None when they are not known: any name is accepted.
        tasks: shape of each task by its name; None when they are not known: any name is accepted.
        is_finally: whether it is known how the run ended: in finally tasks, which run when all others have finished.
        event: fields of the event, which depend on its source; None where there is no event.
    """

    roots: frozenset[str]
    params: frozenset[str] | None = None
    tasks: Mapping[str, TaskShape] | None = None
    is_finally: bool = False
    event: Fields | None = None
