"""The variables around a function that is defined inside of another one."""

from __future__ import annotations

import types
from typing import Any


def variables_around(fn: types.FunctionType, unassigned: Any = None) -> dict[str, Any]:
    """Return the variables of enclosing functions that a function uses, by name.

    Args:
        fn: the function.
        unassigned: the value for a variable that is assigned only later.
    """
    cells = zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True)
    return {name: _content(cell, unassigned) for name, cell in cells}


def _content(cell: types.CellType, unassigned: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return unassigned
