"""Arguments of a call as data: what is known is written down, what is not becomes a slot for an expression.

`penstock.authoring.call` says what templates there are.
"""

from __future__ import annotations

import base64
import math
import pickle
from typing import Any, Final

from penstock.authoring.annotations import allow_failure, unmapped
from penstock.authoring.call import MARK
from penstock.authoring.compilation.node import Node
from penstock.authoring.compilation.place import here
from penstock.authoring.compilation.slots import Template
from penstock.authoring.compilation.symbols import (
    ParamSymbol,
    ResultSymbol,
    Step,
    Symbol,
    TracedFuture,
    TracedFutures,
    TracedState,
    TracedStates,
)
from penstock.authoring.futures import Future
from penstock.authoring.states import State
from penstock.errors import CompileError

INDEX: Final = "index"


class Encoder:
    """Writes the arguments of one call.

    Args:
        node: the call, which learns here what it depends on.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._slots = node.slots

    def encode(self, value: Any, *, is_failure_allowed: bool = False) -> Template:  # noqa: PLR0911 - one for each kind
        """Write a value.

        Raises:
            CompileError: it can't be written down.
        """
        if isinstance(value, unmapped):
            return self.encode(value.value, is_failure_allowed=is_failure_allowed)
        if isinstance(value, allow_failure):
            return self.encode(value.value, is_failure_allowed=True)
        if isinstance(value, ParamSymbol):
            return self._param(value)
        if isinstance(value, ResultSymbol):
            return self._result(value.node, value.path, is_failure_allowed=is_failure_allowed)
        if isinstance(value, Symbol):
            return {MARK: "value", "slot": self._slots.add(expression_of(value))}
        if isinstance(value, TracedFuture | TracedFutures | TracedState | TracedStates):
            return self._result(value.node, (), is_failure_allowed=is_failure_allowed)
        if isinstance(value, Future | State):
            raise here().refuse(
                "an argument is a future or state that was made before the flow was compiled",
                "submit the task inside of the flow",
            )
        return self._plain(value, is_failure_allowed=is_failure_allowed)

    def _plain(self, value: Any, *, is_failure_allowed: bool) -> Template:
        kind = type(value)
        if value is None or kind in {bool, int, str} or (kind is float and math.isfinite(value)):
            return value
        if kind is list:
            return [self.encode(each, is_failure_allowed=is_failure_allowed) for each in value]
        if kind is tuple:
            return {
                MARK: "tuple",
                "items": [self.encode(each, is_failure_allowed=is_failure_allowed) for each in value],
            }
        if kind is dict:
            values = [self.encode(each, is_failure_allowed=is_failure_allowed) for each in value.values()]
            if all(type(key) is str for key in value) and MARK not in value:
                return dict(zip(value, values, strict=True))
            return {MARK: "pairs", "items": [[self._plain(key, is_failure_allowed=False) for key in value], values]}
        return self._pickled(value)

    def _pickled(self, value: Any) -> Template:
        try:
            data = pickle.dumps(value, protocol=5)
        except CompileError:
            raise
        except Exception as error:
            raise here().refuse(
                f"an argument of {self._node.name!r}, a {type(value).__name__}, can't be written into a manifest"
                f" ({type(error).__name__}: {error})",
                "make it inside the task, and hand on what it is made of",
            ) from error
        return {MARK: "pickle", "data": base64.b64encode(data).decode()}

    def _param(self, symbol: ParamSymbol) -> Template:
        param = self._node.scope.params[symbol.name]
        slot = self._slots.add(param.expression)
        template: dict[str, Any] = {MARK: "value", "slot": slot}
        if param.is_converted:
            template = {MARK: "param", "slot": slot, "name": symbol.name}
        elif param.element is not None and not symbol.path:
            template["elements"] = param.element
        if symbol.path:
            template["path"] = list(symbol.path)
        return template

    def _result(self, node: Node, path: tuple[Step, ...], *, is_failure_allowed: bool) -> Template:
        self._node.depend(node, is_success_needed=not is_failure_allowed)
        template: dict[str, Any] = {"task": node.name}
        if path:
            template["path"] = list(path)
        if is_failure_allowed:
            node.is_failure_seen = True
            template["state"] = self._slots.add(f"tasks.{node.name}.state")
        if node.fan_out is not None:
            node.is_gathered = True
            slot = self._slots.add(f"tasks.{node.name}.?outputs.orValue(null)")
            return {MARK: "results", "slot": slot, "count": self._slots.add(node.fan_out.total), **template}
        if is_failure_allowed:
            return {MARK: "outcome", "slot": self._slots.add(f"tasks.{node.name}.?outputs.orValue(null)"), **template}
        return {MARK: "result", "slot": self._slots.add(f"tasks.{node.name}.outputs"), **template}

    def item(self, node: Node, path: tuple[Step, ...], *, is_failure_allowed: bool) -> Template:
        """Write the result of the item of a mapped task that has the same index as the one that runs."""
        self._node.depend(node, is_success_needed=not is_failure_allowed)
        node.is_gathered = True
        template: dict[str, Any] = {
            MARK: "item",
            "slot": self._slots.add(f"tasks.{node.name}.?outputs[?index].orValue(null)"),
            "kept": self._slots.add(f"tasks.{node.name}.?outputs.hasValue()"),
            "index": self._slots.add(INDEX),
            "task": node.name,
        }
        if path:
            template["path"] = list(path)
        if is_failure_allowed:
            node.is_failure_seen = True
            template["state"] = self._slots.add(f"tasks.{node.name}.state")
        return template


def expression_of(symbol: Symbol) -> str:
    """Return the expression whose value a symbol is, as far as one can be written."""
    if isinstance(symbol, ParamSymbol):
        return f"{symbol.expression}{path_expression(symbol.path)}"
    expression: str = symbol.expression
    return expression


def path_expression(path: tuple[Step, ...]) -> str:
    """Return the steps of a path as CEL has them."""
    return "".join(f"[{quote(step) if isinstance(step, str) else step}]" for step in path)


def escape(value: Any) -> Any:
    """Return a value in which no text can be taken for an expression."""
    if isinstance(value, str):
        return value.replace("$(", "$$(")
    if isinstance(value, list):
        return [escape(each) for each in value]
    return {key: escape(each) for key, each in value.items()} if isinstance(value, dict) else value


def quote(text: str) -> str:
    """Return a text as a literal of CEL."""
    import json  # noqa: PLC0415 - who compiles has it

    return json.dumps(text)
