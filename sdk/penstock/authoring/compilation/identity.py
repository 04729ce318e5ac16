"""Checks for `x is y` and `isinstance(x, str)` in the source of a flow: symbols cannot detect them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, Final

from penstock.authoring.compilation.code_location import CodeLocation
from penstock.authoring.compilation.symbols import ADVICE
from penstock.authoring.function import Decorated, FlowFunction

OF_TYPE: Final = frozenset({"isinstance", "type", "callable", "id"})


def check_identity(flow: FlowFunction) -> None:
    """Refuse checks of the identity or type of a param or result.

    Raises:
        RefusedError: the function of the flow has one.
    """
    fn = inspect.unwrap(flow.fn)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(fn)))
    except (OSError, SyntaxError):
        return  # no source: entered at a prompt, or part of a longer line
    unknown = set(flow.signature.parameters) | set(_results(tree, fn.__globals__))
    for node in ast.walk(tree):
        for asked in _asked(node):
            if isinstance(asked, ast.Name) and asked.id in unknown:
                location = CodeLocation(fn.__code__.co_filename, fn.__code__.co_firstlineno + asked.lineno - 1)
                raise location.compile_error(
                    f"the identity or type of {asked.id!r} is known only when the flow runs", ADVICE
                )


def _results(tree: ast.AST, known: dict[str, Any]) -> Iterator[str]:
    """Yield the variables that are assigned results of tasks or flows."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(_is_decorated(each, known) for each in ast.walk(node.value)):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _is_decorated(node: ast.AST, known: dict[str, Any]) -> bool:
    return isinstance(node, ast.Name) and isinstance(known.get(node.id), Decorated)


def _asked(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions whose identity or type is checked."""
    if isinstance(node, ast.Compare) and any(isinstance(each, ast.Is | ast.IsNot) for each in node.ops):
        compared = (node.left, *node.comparators)
        # Whether something is None is asked when the flow is traced.
        if not any(isinstance(each, ast.Constant) and each.value is None for each in compared):
            yield from compared
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OF_TYPE:
        yield from node.args[:1]
