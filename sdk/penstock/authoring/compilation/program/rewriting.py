"""Functions, rewritten so that symbols can stand where Python asks for values.

`x is None`, `isinstance(x, int)`, `x or y`, f-strings and functions such as `len` never ask the symbol itself. So they
become calls of `operations.Rewritten`, which treat other values as Python does. Lines stay the same, for messages.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import copy
import functools
import inspect
import os
import types
from collections.abc import Callable, Iterator
from typing import Any, Final

from penstock.authoring.arguments.field_default import FIELDS
from penstock.authoring.closure import variables_around
from penstock.authoring.function import Decorated
from penstock.authoring.pods.pod_operations import FUNCTIONS

HOOK: Final = "__penstock__"
OF_TYPE: Final = frozenset({"isinstance", "type", "callable", "id"})
"""Functions of Python that answer for a symbol, and not for its value."""
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_FUTURES: Final = __future__.annotations.compiler_flag
_CONSTANT: Final[tuple[type[ast.AST], ...]] = (
    *(ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.Name, ast.Attribute),
    *(ast.Subscript, ast.Slice, ast.JoinedStr, ast.FormattedValue, ast.keyword, ast.Starred),
    *(ast.expr_context, ast.operator, ast.unaryop),
)


_METHODS: Final[dict[tuple[type[ast.cmpop], bool], str]] = {
    (ast.Is, True): "compared_with_none",
    (ast.IsNot, True): "compared_with_none",
    (ast.Is, False): "asked",
    (ast.IsNot, False): "asked",
    (ast.Eq, True): "equal_to_none",
    (ast.NotEq, True): "equal_to_none",
}
"""Methods of the hook by operator, and by whether the other operand is None."""
_OF_THE_FUNCTION: Final = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
"""Expressions that mean something else, or nothing, in a function inside of it."""


def rewrite(fn: types.FunctionType) -> types.CodeType | None:
    """Return code for a function that calls the hook where Python would ask symbols for their values.

    The hook is the global variable `HOOK`, an object with the methods of `operations.Rewritten`.

    Args:
        fn: a function of the user's.

    Returns:
        The code; None if there is nothing to rewrite, or the source is not known.
    """
    for found, class_name in _definitions_of(fn):
        definition = _stripped(found)
        if not _is_same(_code_of(definition, class_name, fn), fn):
            continue  # another function of this line; or the file, or the code of the function, has changed
        rewriter = _Rewriter({**vars(builtins), **fn.__globals__, **variables_around(fn)})
        made = _code_of(rewriter.visit(definition), class_name, fn)
        return made if made is not None and rewriter.is_changed else None
    return None


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


def _code_of(definition: _Definition, class_name: str | None, fn: types.FunctionType) -> types.CodeType | None:
    """Return the code of a definition with the variables that are around a function; None if it uses others."""
    around = fn.__code__.co_freevars
    outer = ast.parse(f"def outer({', '.join(around)}): pass")
    assert isinstance(outer.body[0], ast.FunctionDef)
    inner: ast.stmt = ast.Expr(definition) if isinstance(definition, ast.Lambda) else definition
    # Names such as __x are private to the class around the function.
    outer.body[0].body = [ast.ClassDef(class_name, [], [], [inner], [])] if class_name else [inner]
    ast.fix_missing_locations(outer)
    flags = fn.__code__.co_flags & _FUTURES
    code: Any = compile(outer, fn.__code__.co_filename, "exec", dont_inherit=True, flags=flags)
    for _ in range(3 if class_name else 2):
        code = next(each for each in code.co_consts if isinstance(each, types.CodeType))
    if code.co_freevars != around:
        return None
    return code.replace(co_qualname=fn.__code__.co_qualname)  # type: ignore[no-any-return] # replace() of code has no type


def _is_same(made: types.CodeType | None, fn: types.FunctionType) -> bool:
    """Whether the source is that of the function: its file may have changed, or something may have changed its code."""
    # The first line is that of a decorator, if there is one; the definition may be one line.
    if made is None:
        return False
    first = {made.co_firstlineno, fn.__code__.co_firstlineno}
    return _shape_of(made, first) == _shape_of(fn.__code__, first)


def _shape_of(code: types.CodeType, first: set[int]) -> tuple[object, ...]:
    """Return what the code of a function has in common wherever it is compiled: calls of imported names differ."""
    constants = [each for each in code.co_consts if not isinstance(each, types.CodeType)]
    lines = {line for _, _, line in code.co_lines()} - first
    return code.co_names, code.co_varnames, constants, lines


def definition_of(fn: types.FunctionType) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the definition of a function with the line numbers of its file; None if it is not known."""
    found = (each for each, _ in _definitions_of(fn) if not isinstance(each, ast.Lambda))
    return next(found, None)


def _definitions_of(fn: types.FunctionType) -> Iterator[tuple[_Definition, str | None]]:
    """Yield the definitions that may be that of a function, and their classes."""
    try:
        lines, _ = inspect.findsource(fn)
        found = _found_in("".join(lines))
    except (OSError, SyntaxError, TypeError):
        return  # entered at a prompt, or made by a program
    name, first_line = fn.__code__.co_name, fn.__code__.co_firstlineno
    for each, class_name in found:
        first = min([each.lineno, *(each.lineno for each in getattr(each, "decorator_list", ()))])
        # Code that was rewritten begins without the decorators.
        if getattr(each, "name", "<lambda>") == name and first_line in {first, each.lineno}:
            yield copy.deepcopy(each), class_name


@functools.lru_cache(maxsize=32)
def _found_in(source: str) -> list[tuple[_Definition, str | None]]:
    """Return the definitions of a file, and the names of the classes that they are in."""
    found: list[tuple[_Definition, str | None]] = []

    def search(node: ast.AST, class_name: str | None) -> None:
        for each in ast.iter_child_nodes(node):
            if isinstance(each, _Definition):
                found.append((each, class_name))
            search(each, each.name if isinstance(each, ast.ClassDef) else class_name)

    search(ast.parse(source), None)
    return found


def _stripped(found: _Definition) -> _Definition:
    """Return a definition without decorators, annotations and the values of defaults: they have been evaluated."""
    arguments = found.args
    if not isinstance(found, ast.Lambda):
        found.decorator_list, found.returns = [], None
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if each is not None:
            each.annotation = None
    arguments.defaults = [ast.Constant(None) for _ in arguments.defaults]
    arguments.kw_defaults = [each and ast.Constant(None) for each in arguments.kw_defaults]
    return found


class _Rewriter(ast.NodeTransformer):
    """Rewrites expressions.

    Args:
        known: the values of the names that the function uses.
    """

    def __init__(self, known: dict[str, Any]) -> None:
        self._known = known
        self.is_changed = False

    def visit_If(self, node: ast.If) -> ast.AST:
        """Rewrite `if x is None: x = ...`, and `if not x: x = ...`."""
        match node.test:
            case ast.UnaryOp(op=ast.Not(), operand=ast.Name(id=name)):
                method = "either"
            case _:
                name, method = _name_compared_with_none(node.test, ast.Is) or "", "default"
        match node.body:
            case [ast.Assign(targets=[ast.Name(id=target)], value=value)] if (
                name == target and not node.orelse and _can_be_made_later(value)
            ):
                made = self._replacing(method, ast.Name(target, ast.Load()), value)
                return ast.copy_location(ast.Assign([ast.Name(target, ast.Store())], made), node)
        return self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """Rewrite `y if x is None else x`, `x if x is not None else y`, and `x if x else y`."""
        match node:
            case ast.IfExp(test=ast.Name(id=tested), body=ast.Name(id=kept_name), orelse=second) if (
                tested == kept_name and _can_be_made_later(second)
            ):
                return ast.copy_location(self._replacing("either", node.body, second), node)
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
        """Rewrite `x is None`, `x is y` and `x == None`."""
        before = [node.left, *node.comparators]
        self.generic_visit(node)
        after = [node.left, *node.comparators]
        is_none = [isinstance(each, ast.Constant) and each.value is None for each in before]
        for position, operator in enumerate(node.ops):
            for each, other in ((position, position + 1), (position + 1, position)):
                method = _METHODS.get((type(operator), is_none[other]))
                if method is not None and not isinstance(before[each], ast.Constant):
                    after[each] = self._hooked(method, after[each], ast.Constant(ast.unparse(before[each])))
        node.left, *node.comparators = after
        match node:
            case ast.Compare(ops=[ast.In() | ast.NotIn() as operator], comparators=[container]):
                found = self._hooked("contains", node.left, container)
                return ast.copy_location(
                    found if isinstance(operator, ast.In) else self._hooked("negated", found), node
                )
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """Rewrite `not x`."""
        self.generic_visit(node)
        return ast.copy_location(self._hooked("negated", node.operand), node) if isinstance(node.op, ast.Not) else node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """Rewrite `assert x`."""
        self.generic_visit(node)
        node.test = ast.copy_location(self._hooked("asserted", node.test), node.test)
        return node

    def visit_Match(self, node: ast.Match) -> ast.AST:
        """Rewrite `match x`, whose patterns ask for types and for None."""
        text = ast.Constant(ast.unparse(node.subject))
        self.generic_visit(node)
        node.subject = ast.copy_location(self._hooked("matched", node.subject, text), node.subject)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """Have a handler end at once if what it caught ends the compilation: it may repeat what was refused."""
        self.generic_visit(node)
        node.body.insert(0, ast.copy_location(ast.Expr(self._hooked("caught")), node.body[0]))
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
        return ast.copy_location(self._hooked("text", *parts), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Rewrite calls of functions of Python."""
        text = ast.unparse(node.args[0]) if node.args else ""
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
            return ast.copy_location(self._hooked("call", node.func, *node.args, keywords=node.keywords), node)
        if isinstance(node.func, ast.Name) and node.func.id in OF_TYPE and node.args:
            kind = ast.Constant(text)
            return ast.copy_location(self._hooked("ask", node.func, kind, *node.args, keywords=node.keywords), node)
        return node

    def _replacing(self, method: str, value: ast.expr, other: ast.expr) -> ast.Call:
        problem = self._problem(other)
        made = ast.Lambda(ast.arguments([], [], None, [], [], None, []), self.visit(other))
        return self._hooked(method, self.visit(value), made, ast.Constant(problem))

    def _hooked(self, method: str, *args: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.Call:
        self.is_changed = True
        function = ast.Attribute(ast.Name(HOOK, ast.Load()), method, ast.Load())
        return ast.Call(function, list(args), keywords or [])

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
                is_known = (
                    isinstance(called, type | Decorated)
                    or any(called is each for each in FUNCTIONS.values())
                    or getattr(called, "__module__", None) == FIELDS
                )
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
