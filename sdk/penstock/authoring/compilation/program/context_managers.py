"""Context managers that may hide what their blocks raise, as a `try` does."""

from __future__ import annotations

import ast
import builtins
import contextlib
import inspect
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final

from penstock.authoring.closure import variables_around
from penstock.authoring.compilation.program.code_location import is_inside
from penstock.authoring.compilation.program.rewriting import definition_of

EXITS: Final = ("__exit__", "__aexit__")
_ENTERING: Final = frozenset({"enter_context", "enter_async_context", "push", "push_async_exit"})
"""Methods of `ExitStack`, whose argument is a context manager."""


def hiding_manager(node: ast.With | ast.AsyncWith, frame: types.FrameType) -> str | None:
    """Return the context manager of a statement that may hide exceptions; None if none does.

    Args:
        node: the statement.
        frame: of the function that it is in.
    """
    known = {**vars(builtins), **frame.f_globals, **frame.f_locals}
    return next((ast.unparse(each) for each in _managers(node) if _hides(each, known, frozenset())), None)


def is_hiding(manager: Any) -> bool:
    """Whether a context manager may hide exceptions."""
    return _is_hiding(manager, frozenset())


def _is_hiding(manager: Any, seen: frozenset[Any]) -> bool:
    # Both kinds of @contextmanager keep the function.
    if isinstance(manager, contextlib.AbstractContextManager | contextlib.AbstractAsyncContextManager):
        function = vars(manager).get("func") if hasattr(manager, "__dict__") else None
        if isinstance(function, types.FunctionType):
            return _is_hiding_function(function, seen)
    return _is_hiding_class(type(manager))


def _managers(node: ast.With | ast.AsyncWith) -> Iterator[ast.expr]:
    for item in node.items:
        yield item.context_expr
    for each in (found for statement in node.body for found in ast.walk(statement)):
        match each:
            case ast.Call(func=ast.Attribute(attr=method), args=[manager, *_]) if method in _ENTERING:
                yield manager


def _hides(expression: ast.expr, known: Mapping[str, Any], seen: frozenset[Any]) -> bool:
    if not isinstance(expression, ast.Call):
        found = _resolve(expression, known)
        return found is not None and _is_hiding(found, seen)
    called = _resolve(expression.func, known)
    if isinstance(called, type):
        return _is_hiding_class(called)
    return isinstance(called, types.FunctionType) and _is_hiding_function(called, seen)


def _resolve(expression: ast.expr, known: Mapping[str, Any]) -> Any:
    if isinstance(expression, ast.Name):
        return known.get(expression.id)
    if not isinstance(expression, ast.Attribute):
        return None
    # Without calling properties.
    found = inspect.getattr_static(_resolve(expression.value, known), expression.attr, None)
    return found.__func__ if isinstance(found, classmethod | staticmethod) else found


def _is_hiding_class(kind: type) -> bool:
    """Whether `__exit__` returns anything but None and False: Python hides the exception if it is true."""
    if issubclass(kind, contextlib.suppress):
        return True
    for name in EXITS:
        function = inspect.getattr_static(kind, name, None)
        if not isinstance(function, types.FunctionType) or is_inside(function.__code__.co_filename):
            continue
        definition = definition_of(function)
        returned = [each.value for each in ast.walk(definition) if isinstance(each, ast.Return)] if definition else []
        if any(map(_may_be_true, returned)):
            return True
    return False


def _may_be_true(value: ast.expr | None) -> bool:
    match value:
        case None | ast.Constant(value=None | False):
            return False
        case ast.Call(func=ast.Attribute(attr=name)) | ast.Await(value=ast.Call(func=ast.Attribute(attr=name))):
            return name not in EXITS  # what another one decides
    return True


def _is_hiding_function(function: types.FunctionType, seen: frozenset[Any]) -> bool:
    """Whether a function with @contextmanager handles exceptions around its `yield`."""
    fn: Any = inspect.unwrap(function)
    if fn in seen or not isinstance(fn, types.FunctionType) or is_inside(fn.__code__.co_filename):
        return False
    definition = definition_of(fn)
    if definition is None:
        return False
    known = {**vars(builtins), **fn.__globals__, **variables_around(fn)}
    for node in ast.walk(definition):
        match node:
            case ast.Try(handlers=[_, *_]) | ast.TryStar():
                is_hiding_block = True
            case ast.With() | ast.AsyncWith():
                is_hiding_block = any(_hides(item.context_expr, known, seen | {fn}) for item in node.items)
            case _:
                continue
        if is_hiding_block and any(isinstance(each, ast.Yield) for part in node.body for each in ast.walk(part)):
            return True
    return False
