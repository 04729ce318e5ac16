"""What a symbol can't notice: `x is None` and `isinstance(x, str)`. So they are looked for in the flow's source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, Final

from penstock.authoring.compilation.place import Place
from penstock.authoring.compilation.symbols import ADVICE
from penstock.authoring.function import Decorated, FlowFunction

OF_TYPE: Final = frozenset({"isinstance", "type", "callable", "id"})


def check_identity(flow: FlowFunction) -> None:
    """Refuse to ask what a param or a result is.

    Raises:
        CompileError: the flow's function asks.
    """
    fn = inspect.unwrap(flow.fn)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(fn)))
    except (OSError, SyntaxError):
        return  # typed at a prompt, or part of a longer line
    unknown = set(flow.signature.parameters) | set(_results(tree, fn.__globals__))
    for node in ast.walk(tree):
        for asked in _asked(node):
            if isinstance(asked, ast.Name) and asked.id in unknown:
                place = Place(fn.__code__.co_filename, fn.__code__.co_firstlineno + asked.lineno - 1)
                raise place.refuse(f"what {asked.id!r} is, is known only when the flow runs", ADVICE)


def _results(tree: ast.AST, known: dict[str, Any]) -> Iterator[str]:
    """Yield the variables that are given what a task or flow returns."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(_is_decorated(each, known) for each in ast.walk(node.value)):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _is_decorated(node: ast.AST, known: dict[str, Any]) -> bool:
    return isinstance(node, ast.Name) and isinstance(known.get(node.id), Decorated)


def _asked(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what is asked for its identity or type."""
    if isinstance(node, ast.Compare) and any(isinstance(each, ast.Is | ast.IsNot) for each in node.ops):
        yield from (node.left, *node.comparators)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OF_TYPE:
        yield from node.args[:1]
