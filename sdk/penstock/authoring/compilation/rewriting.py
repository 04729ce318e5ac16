"""The function of a flow, rewritten so that symbols can stand where Python asks for values.

`x is None`, `x or y`, f-strings and functions such as `len` never ask the symbol itself. So they become calls of
`operations.Rewritten`, which treat other values as Python does. Lines stay the same, for messages.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import inspect
import os
import types
from collections.abc import Callable
from typing import Any, Final

from penstock.authoring.closure import variables_around
from penstock.authoring.function import Decorated
from penstock.authoring.pods.pod_operations import FUNCTIONS

HOOK: Final = "__penstock__"
_FUTURES: Final = __future__.annotations.compiler_flag
_CONSTANT: Final[tuple[type[ast.AST], ...]] = (
    *(ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.Name, ast.Attribute),
    *(ast.Subscript, ast.Slice, ast.JoinedStr, ast.FormattedValue, ast.keyword, ast.Starred),
    *(ast.expr_context, ast.operator, ast.unaryop),
)


_OF_THE_FUNCTION: Final = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
"""Expressions that mean something else, or nothing, in a function inside of it."""


def rewrite(fn: Callable[..., Any], hook: Any) -> Callable[..., Any]:
    """Return a function that calls the hook where Python would ask symbols for their values.

    Args:
        fn: the function of a flow.
        hook: an object with the methods of `operations.Rewritten`.

    Returns:
        The function; unchanged if its source is not known.
    """
    if not isinstance(fn, types.FunctionType) or hasattr(fn, "__wrapped__"):
        return fn
    definition = definition_of(fn)
    if definition is None:
        return fn
    _strip(definition)
    around = variables_around(fn)
    known = {**vars(builtins), **fn.__globals__, **around}
    if not _is_same(_made_of(definition, fn, hook, around), fn):
        return fn
    made = _made_of(_Rewriter(known).visit(definition), fn, hook, around)
    made.__defaults__, made.__kwdefaults__ = fn.__defaults__, fn.__kwdefaults__
    made.__module__, made.__qualname__ = fn.__module__, fn.__qualname__
    return made  # type: ignore[no-any-return]  # of exec


def computed_defaults(fn: Callable[..., Any]) -> dict[str, str]:
    """Return the parameters of a function whose defaults are computed, such as by `date.today()`, and what computes."""
    if not isinstance(fn, types.FunctionType) or (definition := definition_of(fn)) is None:
        return {}
    rewriter = _Rewriter({**vars(builtins), **fn.__globals__, **variables_around(fn)})
    arguments = definition.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    found = {each.arg: rewriter.computation(value) for each, value in pairs if value is not None}
    return {name: computation for name, computation in found.items() if computation is not None}


def _made_of(definition: ast.stmt, fn: types.FunctionType, hook: Any, around: dict[str, Any]) -> Any:
    """Return the function of a definition, with the variables that are around another one."""
    outer = ast.parse(f"def outer({', '.join((HOOK, *around))}): pass")
    assert isinstance(outer.body[0], ast.FunctionDef)
    outer.body[0].body = [definition, ast.parse(f"return {fn.__name__}").body[0]]
    ast.fix_missing_locations(outer)
    found: dict[str, Any] = {}
    code = compile(outer, fn.__code__.co_filename, "exec", dont_inherit=True, flags=fn.__code__.co_flags & _FUTURES)
    exec(code, fn.__globals__, found)  # noqa: S102 - the user's own source
    return found["outer"](hook, *around.values())


def _is_same(made: types.FunctionType, fn: types.FunctionType) -> bool:
    """Whether the source is that of the function: its file may have changed, or something may have changed its code."""
    # The first line is that of a decorator, if there is one; the definition may be one line.
    first = {made.__code__.co_firstlineno, fn.__code__.co_firstlineno}
    return _shape_of(made.__code__, first) == _shape_of(fn.__code__, first)


def _shape_of(code: types.CodeType, first: set[int]) -> tuple[object, ...]:
    """Return what the code of a function has in common wherever it is compiled: calls of imported names differ."""
    constants = [each for each in code.co_consts if not isinstance(each, types.CodeType)]
    lines = {line for _, _, line in code.co_lines()} - first
    return code.co_names, code.co_varnames, constants, lines


def definition_of(fn: types.FunctionType) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the definition of a function with the line numbers of its file; None if it is not known."""
    try:
        source = inspect.getsource(fn)
        # Not dedented: that would change texts of several lines.
        tree = ast.parse(f"if 1:\n{source}" if source[:1].isspace() else f"\n{source}")
    except (OSError, SyntaxError):
        return None  # entered at a prompt, or part of a longer line
    found = tree.body[0].body[0] if isinstance(tree.body[0], ast.If) else tree.body[0]
    if not isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef) or found.name != fn.__name__:
        return None
    ast.increment_lineno(tree, fn.__code__.co_firstlineno - 2)
    return found


def _strip(definition: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Remove decorators, annotations and the values of defaults: they have been evaluated."""
    definition.decorator_list, definition.returns = [], None
    arguments = definition.args
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if each is not None:
            each.annotation = None
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [each and ast.Constant(None) for each in arguments.kw_defaults]


class _Rewriter(ast.NodeTransformer):
    """Rewrites expressions.

    Args:
        known: the values of the names that the function uses.
    """

    def __init__(self, known: dict[str, Any]) -> None:
        self._known = known

    def visit_If(self, node: ast.If) -> ast.AST:
        """Rewrite `if x is None: x = ...`."""
        name = _name_compared_with_none(node.test, ast.Is)
        match node.body:
            case [ast.Assign(targets=[ast.Name(id=target)], value=value)] if (
                name == target and not node.orelse and _can_be_made_later(value)
            ):
                made = self._replacing("default", ast.Name(target, ast.Load()), value)
                return ast.copy_location(ast.Assign([ast.Name(target, ast.Store())], made), node)
        return self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """Rewrite `y if x is None else x`, and `x if x is not None else y`."""
        for kind, kept, other in ((ast.Is, node.orelse, node.body), (ast.IsNot, node.body, node.orelse)):
            name = _name_compared_with_none(node.test, kind)
            if name is not None and isinstance(kept, ast.Name) and kept.id == name and _can_be_made_later(other):
                return ast.copy_location(self._replacing("default", kept, other), node)
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """Rewrite `x or y`."""
        if not isinstance(node.op, ast.Or) or not all(map(_can_be_made_later, node.values[1:])):
            return self.generic_visit(node)
        made = node.values[0]
        for other in node.values[1:]:
            made = ast.copy_location(self._replacing("either", made, other), node)
        return made

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """Rewrite `x is None`."""
        for kind in (ast.Is, ast.IsNot):
            name = _name_compared_with_none(node, kind)
            if name is not None:
                asked: ast.expr = _call("is_none", node.left, ast.Constant(name))
                return ast.copy_location(asked if kind is ast.Is else ast.UnaryOp(ast.Not(), asked), node)
        self.generic_visit(node)
        match node:
            case ast.Compare(ops=[ast.In() | ast.NotIn() as operator], comparators=[container]):
                found = _call("contains", node.left, container)
                return ast.copy_location(found if isinstance(operator, ast.In) else _call("negated", found), node)
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """Rewrite `not x`."""
        self.generic_visit(node)
        return ast.copy_location(_call("negated", node.operand), node) if isinstance(node.op, ast.Not) else node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """Rewrite `assert x`."""
        self.generic_visit(node)
        node.test = ast.copy_location(_call("asserted", node.test), node.test)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """Have a handler end at once if what it caught ends the compilation: it may repeat what was refused."""
        self.generic_visit(node)
        node.body.insert(0, ast.copy_location(ast.Expr(_call("caught")), node.body[0]))
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Rewrite an f-string."""
        self.generic_visit(node)
        parts: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                conversion = {-1: None, 115: "str", 114: "repr", 97: "ascii"}[part.conversion]
                items = [part.value, ast.Constant(conversion), part.format_spec or ast.Constant("")]
                parts.append(ast.Tuple(items, ast.Load()))
            else:
                parts.append(part)
        return ast.copy_location(_call("text", *parts), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Rewrite calls of functions of Python."""
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
            return ast.copy_location(_call("call", node.func, *node.args, keywords=node.keywords), node)
        return node

    def _replacing(self, method: str, value: ast.expr, other: ast.expr) -> ast.Call:
        problem = self._problem(other)
        made = ast.Lambda(ast.arguments([], [], None, [], [], None, []), self.visit(other))
        return _call(method, self.visit(value), made, ast.Constant(problem))

    def _problem(self, value: ast.expr) -> str | None:
        """Return why an expression is not a constant when the flow is compiled; None if it is, or names a task."""
        if (computation := self.computation(value)) is not None:
            return computation
        is_constant = all(isinstance(node, (ast.Call, *_CONSTANT)) for node in ast.walk(value))
        return None if is_constant else f"`{ast.unparse(value)}`"

    def computation(self, value: ast.expr) -> str | None:
        """Return what in an expression may have another value at each time; None if there is nothing."""
        for node in ast.walk(value):
            if isinstance(node, ast.Call):
                called = self._called(node.func)
                is_known = isinstance(called, type | Decorated) or any(called is each for each in FUNCTIONS.values())
                if not is_known:
                    return f"the result of `{ast.unparse(node)}`"
            elif self._called(node) is os.environ:
                return f"`{ast.unparse(value)}`"
        return None

    def _called(self, function: ast.AST) -> Any:
        if isinstance(function, ast.Name):
            return self._known.get(function.id)
        if isinstance(function, ast.Attribute):
            return getattr(self._called(function.value), function.attr, None)
        return None


def _can_be_made_later(value: ast.expr) -> bool:
    """Whether an expression may become the body of a lambda."""
    return not any(
        isinstance(each, _OF_THE_FUNCTION) or (isinstance(each, ast.comprehension) and each.is_async)
        for each in ast.walk(value)
    )


def _name_compared_with_none(node: ast.expr, kind: type[ast.cmpop]) -> str | None:
    match node:
        case ast.Compare(left=ast.Name(id=name), ops=[operator], comparators=[ast.Constant(value=None)]):
            return name if isinstance(operator, kind) else None
    return None


def _call(method: str, *args: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.Call:
    function = ast.Attribute(ast.Name(HOOK, ast.Load()), method, ast.Load())
    return ast.Call(function, list(args), keywords or [])
