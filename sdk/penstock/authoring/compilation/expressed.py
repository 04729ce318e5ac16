"""Values where the Flow itself needs them, as plain JSON: its outputs, and the params of child flows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.authoring.annotations import allow_failure, unmapped
from penstock.authoring.compilation.arguments import escape, expression_of
from penstock.authoring.compilation.node import Node
from penstock.authoring.compilation.place import Place
from penstock.authoring.compilation.symbols import (
    ResultSymbol,
    Symbol,
    TracedFuture,
    TracedFutures,
    TracedState,
    TracedStates,
)


def express(value: Any, want: Callable[[Node], None], place: Place, what: str) -> Any:
    """Write a value with expressions in it.

    Args:
        value: the value.
        want: is told of each task whose result is in it.
        place: where it is written, for messages.
        what: what it is for, for messages.

    Raises:
        CompileError: no expression says it.
    """
    if isinstance(value, allow_failure):
        raise place.refuse(f"{what} is an allow_failure(...)", "hand it to a task, and use what that returns")
    if isinstance(value, unmapped):
        return express(value.value, want, place, what)
    if isinstance(value, ResultSymbol | TracedFuture | TracedFutures | TracedState | TracedStates):
        if isinstance(value, ResultSymbol) and value.path:
            raise place.refuse(f"{what} is a part of a result", "use all of it, or have a task return the part")
        want(value.node)
        return f"$({result_expression(value.node)})"
    if isinstance(value, Symbol):
        return f"$({expression_of(value)})"
    if isinstance(value, list | tuple):
        return [express(each, want, place, what) for each in value]
    if isinstance(value, dict):
        return {_key(key, place, what): express(each, want, place, what) for key, each in value.items()}
    if value is None or type(value) in {bool, int, float, str}:
        return escape(value)
    raise place.refuse(f"{what} holds a {type(value).__name__}, which JSON does not know", "use plain values")


def result_expression(node: Node) -> str:
    """Return an expression for the result of a task, as JSON has it."""
    if node.fan_out is not None:
        return f"tasks.{node.name}.outputs.map(o, o == null ? null : o.?result.orValue(null))"
    optional = "?" if node.is_tolerated else ""
    return f"tasks.{node.name}.{optional}outputs.?result.orValue(null)"


def _key(key: Any, place: Place, what: str) -> str:
    if not isinstance(key, str):
        raise place.refuse(f"{what} has a key {key!r}", "JSON has texts for keys")
    return key
