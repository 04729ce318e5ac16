"""Arguments of a call as data: known values are written to the manifest, others become slots for expressions.

`penstock.authoring.pods.pod_call` describes the templates.
"""

from __future__ import annotations

import base64
import math
import re
from typing import Any, Final

from penstock.authoring.arguments.annotations import allow_failure, unmapped
from penstock.authoring.compilation.changes import refuse_changed
from penstock.authoring.compilation.exact import is_text
from penstock.authoring.compilation.node import Node
from penstock.authoring.compilation.operations import OperationSymbol
from penstock.authoring.compilation.secret_guard import SecretFoundError, pickled_without_secrets
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
from penstock.authoring.pods.pod_call import MARK
from penstock.authoring.runs.futures import Future
from penstock.authoring.runs.states import State

INDEX: Final = "index"


class Encoder:
    """Encodes the arguments of one call.

    Args:
        node: the call; its dependencies and slots are added.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._slots = node.slots

    def encode_value(self, value: Any, *, is_failure_allowed: bool = False) -> Template:  # noqa: PLR0911 - one for each kind
        """Return the template for a value.

        Args:
            value: the value.
            is_failure_allowed: pass the exception of a task that did not complete, instead of requiring success.

        Raises:
            RefusedError: it cannot be encoded.
        """
        if isinstance(value, unmapped):
            return self.encode_value(value.value, is_failure_allowed=is_failure_allowed)
        if isinstance(value, allow_failure):
            return self.encode_value(value.value, is_failure_allowed=True)
        refuse_changed(value)
        if isinstance(value, ParamSymbol):
            return self._param(value)
        if isinstance(value, OperationSymbol):
            operands = [self.encode_value(each, is_failure_allowed=is_failure_allowed) for each in value.operands]
            return {MARK: "operation", "name": value.operation, "of": operands}
        if isinstance(value, ResultSymbol):
            return self._result(value.node, value.path, is_failure_allowed=is_failure_allowed)
        if isinstance(value, Symbol):
            return {MARK: "value", "slot": self._slots.add_expression(expression_of(value))}
        if isinstance(value, TracedFuture | TracedFutures | TracedState | TracedStates):
            return self._result(value.node, (), is_failure_allowed=is_failure_allowed)
        if isinstance(value, Future | State):
            raise self._node.location.compile_error(
                "an argument is a future or state from outside of the flow",
                "submit the task in the flow",
            )
        return self._plain(value, is_failure_allowed=is_failure_allowed)

    def _plain(self, value: Any, *, is_failure_allowed: bool) -> Template:
        kind = type(value)
        if kind is str and not is_text(value):
            raise self._node.location.compile_error(
                f"a text among the arguments of {self._node.name!r} has half of a surrogate pair, which a manifest"
                " cannot contain",
                "create it in the task",
            )
        if value is None or kind in {bool, int, str} or (kind is float and math.isfinite(value)):
            return value
        if kind is list:
            return [self.encode_value(each, is_failure_allowed=is_failure_allowed) for each in value]
        if kind is tuple:
            return {
                MARK: "tuple",
                "items": [self.encode_value(each, is_failure_allowed=is_failure_allowed) for each in value],
            }
        if kind is dict:
            values = [self.encode_value(each, is_failure_allowed=is_failure_allowed) for each in value.values()]
            if all(type(key) is str and is_text(key) for key in value) and MARK not in value:
                return dict(zip(value, values, strict=True))
            return {MARK: "pairs", "items": [[self._plain(key, is_failure_allowed=False) for key in value], values]}
        return self._pickled(value)

    def _pickled(self, value: Any) -> Template:
        try:
            data = pickled_without_secrets(value)
        except SecretFoundError:
            raise self._node.location.compile_error(
                f"an argument of {self._node.name!r} contains a secret",
                "load it in the task that needs it: in the Flow it would be readable",
            ) from None
        except Exception as error:
            raise self._node.location.compile_error(
                f"an argument of {self._node.name!r}, a {type(value).__name__}, cannot be written to a manifest"
                f" ({type(error).__name__}: {error})",
                "create it in the task, and pass plain values",
            ) from error
        return {MARK: "pickle", "data": base64.b64encode(data).decode()}

    def _param(self, symbol: ParamSymbol) -> Template:
        param = symbol.param
        slot = self._slots.add_expression(symbol.expression)
        template: dict[str, Any] = {MARK: "value", "slot": slot}
        if param.is_converted:
            template = {MARK: "param", "slot": slot, "name": param.name}
        elif param.element is not None and not symbol.path:
            template["elements"] = param.element
        if symbol.path:
            template["path"] = list(symbol.path)
        return template

    def _result(self, node: Node, path: tuple[Step, ...], *, is_failure_allowed: bool) -> Template:
        if node.fan_out is not None and path:
            # A part of the list of all results, and not of each of them.
            whole = self._result(node, path[:-1], is_failure_allowed=is_failure_allowed)
            return {MARK: "operation", "name": "getitem", "of": [whole, path[-1]]}
        self._node.depend_on(node, is_success_needed=not is_failure_allowed)
        template: dict[str, Any] = {"task": node.name}
        if path:
            template["path"] = list(path)
        if is_failure_allowed:
            node.is_failure_seen = True
            template["state"] = self._slots.add_expression(f"tasks.{node.name}.state")
        if node.fan_out is not None:
            node.is_gathered = True
            slot = self._slots.add_expression(f"tasks.{node.name}.?outputs.orValue(null)")
            return {MARK: "results", "slot": slot, "count": self._slots.add_expression(node.fan_out.total), **template}
        if is_failure_allowed:
            return {
                MARK: "outcome",
                "slot": self._slots.add_expression(f"tasks.{node.name}.?outputs.orValue(null)"),
                **template,
            }
        return {MARK: "result", "slot": self._slots.add_expression(f"tasks.{node.name}.outputs"), **template}

    def encode_item(self, node: Node, path: tuple[Step, ...], *, is_failure_allowed: bool) -> Template:
        """Return the template for the result of the item of a mapped task with the same index."""
        self._node.depend_on(node, is_success_needed=not is_failure_allowed)
        node.is_gathered = True
        template: dict[str, Any] = {
            MARK: "item",
            "slot": self._slots.add_expression(f"tasks.{node.name}.?outputs[?index].orValue(null)"),
            "kept": self._slots.add_expression(f"tasks.{node.name}.?outputs.hasValue()"),
            "index": self._slots.add_expression(INDEX),
            "task": node.name,
        }
        if path:
            template["path"] = list(path)
        if is_failure_allowed:
            node.is_failure_seen = True
            template["state"] = self._slots.add_expression(f"tasks.{node.name}.state")
        return template


def expression_of(symbol: Symbol) -> str:
    """Return the CEL expression for a symbol."""
    if isinstance(symbol, ParamSymbol):
        return f"{symbol.expression}{path_expression(symbol.path)}"
    expression: str = symbol.expression
    return expression


def path_expression(path: tuple[Step, ...]) -> str:
    """Return the steps of a path in CEL."""
    return "".join(f"[{quote(step) if isinstance(step, str) else step}]" for step in path)


def escape(value: Any) -> Any:
    """Return a value whose strings are not read as expressions."""
    if isinstance(value, str):
        # Of several `$` before a parenthesis each two are one.
        return re.sub(r"\$+(?=\()", lambda found: found[0] * 2, value)
    if isinstance(value, list):
        return [escape(each) for each in value]
    return {key: escape(each) for key, each in value.items()} if isinstance(value, dict) else value


def quote(text: str) -> str:
    """Return a text as a CEL literal."""
    import json  # noqa: PLC0415 - loaded when compiling

    return json.dumps(text, ensure_ascii=False)
