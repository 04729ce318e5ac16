"""Flows that run in one Pod: those that say so, and those that call no task.

Whether a function calls tasks is read from its code, because calling it would do what it is for. What it refers to is
followed through the user's functions, classes, objects and modules.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import importlib
import importlib.util
import itertools
import sys
import sysconfig
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from penstock.authoring.closure import variables_around
from penstock.authoring.function import Decorated, FlowFunction

_METHODS: Final = frozenset({"submit", "map", "with_options"})
"""Attributes that mean tasks, also of objects that are known only when the flow runs."""
_FUNCTIONS: Final = frozenset({"task", "flow", "pause_flow_run", "suspend_flow_run"})
"""Functions of Penstock that mean tasks."""
MAX_ELEMENTS: Final = 1000
"""How many elements of a container are looked at."""
_LIBRARIES: Final = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def is_one_pod(flow: FlowFunction) -> bool:
    """Whether a flow runs in one Pod; in another flow it is one task of that, not a child run."""
    return flow.options.run_as == "pod" or not _calls_tasks(flow.fn)


@functools.lru_cache(maxsize=1024)  # it is asked for each call of a flow
def _calls_tasks(fn: Any) -> bool:
    return _Search(fn).finds_a_task(fn)


class _Search:
    """The search for a task in what a function refers to.

    Args:
        fn: the function. What belongs to its package is followed, and what belongs to no library.
    """

    def __init__(self, fn: Any) -> None:
        self._package = _package(fn)
        self._seen: set[int] = set()

    def finds_a_task(self, value: Any) -> bool:
        """Whether a value is a task or flow, or refers to one."""
        value = _called_by(value)
        if isinstance(value, Decorated):
            return True
        if _package(value) == "penstock":
            return getattr(value, "__name__", "") in _FUNCTIONS
        if id(value) in self._seen:
            return False
        self._seen.add(id(value))
        return any(map(self.finds_a_task, self._referred(value))) or (
            isinstance(value, types.FunctionType) and _package(value) == self._package and _uses_methods(value)
        )

    def _referred(self, value: Any) -> Iterable[Any]:
        if isinstance(value, dict):
            return itertools.islice(list(value.values()), MAX_ELEMENTS)
        if isinstance(value, list | tuple | set | frozenset):
            return itertools.islice(list(value), MAX_ELEMENTS)
        named = value if isinstance(value, types.FunctionType | type) else type(value)
        if _package(named) != self._package and _is_of_a_library(_package(named)):
            return ()
        return _referred(named) if isinstance(named, types.FunctionType) else list(vars(named).values())


def functions_referred_to(fn: Any, *more: Any) -> list[types.FunctionType]:
    """Return functions and the user's functions that they refer to, also through others, classes, objects and modules.

    Those of libraries, tasks and flows are not among them.
    """
    package = _package(fn)
    found: list[types.FunctionType] = []
    seen: set[int] = set()
    left: list[Any] = [fn, *more]
    while left:
        value = left.pop()
        if id(value) in seen or isinstance(value, Decorated):
            continue
        seen.add(id(value))
        if isinstance(value, types.FunctionType):
            if _package(value) == package or not _is_of_a_library(_package(value)):
                found.append(value)
                left += _referred(value)
        elif isinstance(value, functools.partial):
            left += (value.func, *value.args, *value.keywords.values())
        elif isinstance(value, types.MethodType):
            left += (value.__func__, value.__self__)
        elif isinstance(value, classmethod | staticmethod | property):
            left.append(_called_by(value))
        elif isinstance(value, dict):
            left += itertools.islice(list(value.values()), MAX_ELEMENTS)
        elif isinstance(value, list | tuple | set | frozenset):
            left += itertools.islice(list(value), MAX_ELEMENTS)
        else:
            left += _members(value, package)
    return found


def _members(value: Any, package: str) -> Iterator[Any]:
    """Yield what is in a class, or in an object and its class."""
    for each in (value if isinstance(value, type) else type(value)).__mro__:
        if _package(each) == package or not _is_of_a_library(_package(each)):
            yield from list(vars(each).values())
    if not isinstance(value, type) and (
        _package(type(value)) == package or not _is_of_a_library(_package(type(value)))
    ):
        yield from list(getattr(value, "__dict__", {}).values())


def _called_by(value: Any) -> Any:
    """Return the function that something calls; the task, if it is a method of one."""
    while isinstance(value, functools.partial):
        value = value.func
    if isinstance(value, types.MethodType):
        return value.__self__ if isinstance(value.__self__, Decorated) else value.__func__
    if isinstance(value, classmethod | staticmethod):
        return value.__func__
    return value.fget if isinstance(value, property) else value


def _uses_methods(fn: types.FunctionType) -> bool:
    return any(
        each.argval in _METHODS
        for code in _codes(fn.__code__)
        for each in dis.get_instructions(code)
        if each.opname in {"LOAD_ATTR", "LOAD_METHOD"}
    )


def _referred(fn: types.FunctionType) -> Iterator[Any]:
    """Yield what the names in a function stand for."""
    codes = list(_codes(fn.__code__))
    names = {name for code in codes for name in (*code.co_names, *code.co_freevars)}
    known = {**fn.__globals__, **variables_around(fn)}
    found = [known[name] for name in names & known.keys()]
    left = [*found, *(module for code in codes for module in _imported(code, fn.__globals__))]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if not isinstance(each, types.ModuleType):
            yield each
        elif id(each) not in seen:
            # Also modules in packages: `reports.days.pick(day)`.
            seen.add(id(each))
            left += (vars(each)[name] for name in names & vars(each).keys())


def _imported(code: types.CodeType, names: Mapping[str, Any]) -> Iterator[types.ModuleType]:
    """Yield the modules that a function itself imports, except those of libraries."""
    instructions = list(dis.get_instructions(code))
    for position, each in enumerate(instructions):
        if each.opname == "IMPORT_NAME":
            level = instructions[position - 2].argval
            with contextlib.suppress(Exception):  # the function itself raises it, when it is called
                name = importlib.util.resolve_name("." * level + each.argval, names.get("__package__"))
                if not _is_of_a_library(name.partition(".")[0]):
                    yield importlib.import_module(name)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _codes(each)


@functools.cache
def _is_of_a_library(package: str) -> bool:
    """Whether a package belongs to Python or to Penstock, or is installed."""
    if package in sys.stdlib_module_names or package == "penstock":
        return True
    found: Any = sys.modules.get(package)
    if found is None:
        found = importlib.util.find_spec(package)
        places = [] if found is None else [found.origin, *(found.submodule_search_locations or ())]
    else:
        places = [getattr(found, "__file__", None), *getattr(found, "__path__", ())]
    return any(each is not None and Path(each).is_relative_to(library) for each in places for library in _LIBRARIES)


def _package(value: Any) -> str:
    return str(getattr(value, "__module__", "")).partition(".")[0]
