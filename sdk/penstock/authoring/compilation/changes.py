"""Values that `x += y` may change in place, and who asks for the type of a symbol.

In Python `x += [1]` changes a list for all names that it has. A symbol cannot be changed, so `x` becomes a new one, and
further uses of the old one, by whatever name, are refused.
"""

from __future__ import annotations

import datetime as dt
import functools
import sys
from decimal import Decimal
from typing import Any, Final, get_type_hints

from penstock.authoring.compilation.program.code_location import current_location, is_inside
from penstock.authoring.function import TaskFunction

Changes = list[int]
"""The lines that may have changed a value in place."""
IMMUTABLE: Final = frozenset({bool, int, float, complex, str, bytes, Decimal, dt.date, dt.datetime, dt.timedelta})


class Changeable:
    """What may stand for a collection: a symbol, or the run of a task while it is traced."""

    __slots__ = ()


def returned_type(task: TaskFunction | None) -> Any:
    """Return the annotation of what a task returns; None if it has none, or there is no task."""
    try:
        return None if task is None else get_type_hints(task.fn).get("return")
    except (NameError, TypeError):
        return None  # names for type checkers only


def refuse_changed(value: Any) -> None:
    """Refuse a value that may have been changed in place.

    Args:
        value: a symbol or a traced run; others are ignored.

    Raises:
        RefusedError: it may have been.
    """
    if not isinstance(value, Changeable):
        return
    node = None if hasattr(type(value), "changes") else value.node  # type: ignore[attr-defined] # a traced run has one
    changes: Changes = value.changes if node is None else node.changes  # type: ignore[attr-defined] # a symbol has them
    if not changes:
        return
    description: str = getattr(value, "description", "") if node is None else f"the result of {node.name!r}"
    raise current_location().compile_error(
        f"{description} is used after line {changes[0]} has changed it in place, if it is a list or another collection",
        "write `x = x + y` in place of `x += y` to make a new value; or annotate what the task returns, if it is a"
        " number or a text",
    )


def type_asked_for(symbol: Any) -> type[Any]:
    """Return the type of a symbol; refuse if the user's function or `functools.singledispatch` decides by it.

    Raises:
        RefusedError: the type of the value is needed.
    """
    file = sys._getframe(1).f_code.co_filename  # noqa: SLF001 - what inspect.currentframe() calls
    if file == functools.__file__ or not (is_inside(file) or "site-packages" in file):
        raise current_location().compile_error(
            f"{symbol.description} is asked for its type, which is known only when the flow runs",
            "do it in a task, or use @flow(run_as='pod')",
        )
    kind: type[Any] = type(symbol)
    return kind
