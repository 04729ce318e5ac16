"""Values as JSON with CEL expressions: for the outputs of the Flow, and for the params of child flows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.authoring.arguments.annotations import allow_failure, unmapped
from penstock.authoring.compilation.arguments import escape, expression_of
from penstock.authoring.compilation.changes import refuse_changed
from penstock.authoring.compilation.node import Node
from penstock.authoring.compilation.operations import OperationSymbol
from penstock.authoring.compilation.program.code_location import CodeLocation
from penstock.authoring.compilation.symbols import (
    ParamSymbol,
    ResultSymbol,
    RunSymbol,
    Symbol,
    TracedFuture,
    TracedFutures,
    TracedState,
    TracedStates,
)
from penstock.authoring.pods.pod_operations import TEXT


def express_value(  # noqa: PLR0911 - one for each kind
    value: Any, want: Callable[[Node], None], location: CodeLocation, what: str
) -> Any:
    """Return a value as JSON with expressions.

    Args:
        value: the value.
        want: called with each task whose result is in it.
        location: where the value is used, for messages.
        what: what it is used for, for messages.

    Raises:
        RefusedError: it cannot be expressed.
    """
    if isinstance(value, allow_failure):
        raise location.compile_error(
            f"{what} is an allow_failure(...)", "pass it to a task, and use the result of that task"
        )
    if isinstance(value, unmapped):
        return express_value(value.value, want, location, what)
    refuse_changed(value)
    if isinstance(value, ResultSymbol | TracedFuture | TracedFutures | TracedState | TracedStates):
        if isinstance(value, ResultSymbol) and value.path:
            raise location.compile_error(
                f"{what} is a part of a result", "use the whole result, or return the part from a task"
            )
        want(value.node)
        return f"$({result_expression(value.node)})"
    if isinstance(value, OperationSymbol):
        return _text(value, location, what)
    if isinstance(value, Symbol):
        return f"$({expression_of(value)})"
    if isinstance(value, list | tuple):
        return [express_value(each, want, location, what) for each in value]
    if isinstance(value, dict):
        return {_key(key, location, what): express_value(each, want, location, what) for key, each in value.items()}
    if value is None or type(value) in {bool, int, float, str}:
        return escape(value)
    raise location.compile_error(f"{what} contains a {type(value).__name__}, which is not JSON", "use plain values")


def _text(value: OperationSymbol, location: CodeLocation, what: str) -> str:
    """Return an f-string of texts, strings and integers as a text with expressions."""
    parts: list[str] = []
    for part in value.operands if value.operation == TEXT else (value,):
        formatted = part
        if isinstance(part, OperationSymbol) and part.operation == "format" and part.operands[1] == "":
            formatted = part.operands[0]
        if isinstance(formatted, str):
            parts.append(escape(formatted))
        elif (isinstance(formatted, ParamSymbol) and formatted.is_plain_text) or isinstance(formatted, RunSymbol):
            parts.append(f"$({expression_of(formatted)})")
        else:
            raise location.compile_error(
                f"{what} is {value.description}, which only a Pod can make", "return it from a task"
            )
    return "".join(parts)


def result_expression(node: Node) -> str:
    """Return an expression for the result of a task, as JSON has it."""
    if node.fan_out is not None:
        return f"tasks.{node.name}.outputs.map(o, o == null ? null : o.?result.orValue(null))"
    optional = "?" if node.is_tolerated else ""
    return f"tasks.{node.name}.{optional}outputs.?result.orValue(null)"


def _key(key: Any, location: CodeLocation, what: str) -> str:
    if not isinstance(key, str):
        raise location.compile_error(f"{what} has the key {key!r}", "use strings as keys, as in JSON")
    return key
