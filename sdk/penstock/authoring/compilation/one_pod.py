"""Flows that run in one Pod: those that say so, and those that call no task."""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Iterator
from typing import Any, Final

from penstock.authoring.function import Decorated, FlowFunction

_METHODS: Final = frozenset({"submit", "map", "with_options"})
"""Attributes that mean tasks, also of objects that are known only when the flow runs."""
_FUNCTIONS: Final = frozenset({"task", "flow", "pause_flow_run", "suspend_flow_run"})
"""Functions of Penstock that mean tasks."""


def is_one_pod(flow: FlowFunction) -> bool:
    """Whether a flow runs in one Pod; in another flow it is one task of that, not a child run."""
    return flow.options.run_as == "pod" or not _uses_tasks(flow.fn, set())


def _uses_tasks(fn: Any, seen: set[Any]) -> bool:
    """Whether a function may call a task or flow, by what it and the functions of its package refer to."""
    fn = _called_by(fn)
    if isinstance(fn, Decorated):
        return True
    if not isinstance(fn, types.FunctionType) or fn in seen:
        return False
    seen.add(fn)
    codes = list(_codes(fn.__code__))
    if not _METHODS.isdisjoint(each for code in codes for each in _attributes(code)):
        return True
    names = {name for code in codes for name in (*code.co_names, *code.co_freevars)}
    return any(
        isinstance(each, Decorated)
        or (_package(each) == "penstock" and getattr(each, "__name__", "") in _FUNCTIONS)
        or (_package(each) == _package(fn) and _uses_tasks(each, seen))
        for each in map(_called_by, _referred(fn, names))
    )


def _called_by(fn: Any) -> Any:
    """Return the function that a partial function or a bound method calls; the task, if it is a method of one."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if isinstance(fn, types.MethodType):
        return fn.__self__ if isinstance(fn.__self__, Decorated) else fn.__func__
    return fn


def _referred(fn: types.FunctionType, names: set[str]) -> Iterator[Any]:
    known = {**fn.__globals__, **dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True))}
    for name in names & known.keys():
        found = known[name]
        if isinstance(found, types.CellType):
            found = _content(found)
        if isinstance(found, types.ModuleType):
            yield from (vars(found)[each] for each in names & vars(found).keys())
        elif isinstance(found, type):
            yield from vars(found).values()
        else:
            yield found


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _codes(each)


def _attributes(code: types.CodeType) -> Iterator[str]:
    return (each.argval for each in dis.get_instructions(code) if each.opname in {"LOAD_ATTR", "LOAD_METHOD"})


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # assigned later


def _package(value: Any) -> str:
    return str(getattr(value, "__module__", "")).partition(".")[0]
