"""Calls of a flow at the top level of its module, which every Pod that imports the module would repeat."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from collections.abc import Iterator

from penstock.authoring.compilation.code_location import CodeLocation
from penstock.authoring.function import FlowFunction


def line_of_call(flow: FlowFunction) -> CodeLocation | None:
    """Return where the module of a flow calls it when it is imported; None if it does not."""
    fn = inspect.unwrap(flow.fn)
    file = getattr(getattr(fn, "__code__", None), "co_filename", "")
    module = sys.modules.get(fn.__module__)
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return None
    names = {name for name, value in vars(module).items() if value is flow} if module is not None else set()
    for statement in tree.body:
        for node in _executed(statement):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                return CodeLocation(file, node.lineno)
    return None


def _executed(statement: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that are executed by an import."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    if isinstance(statement, ast.If) and "__name__" in ast.dump(statement.test):
        return
    yield statement
    for child in ast.iter_child_nodes(statement):
        yield from _executed(child)
