"""map() as a fan-out: its items, and the arguments of each item."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_origin, get_type_hints

from penstock.authoring.arguments.annotations import allow_failure, unmapped
from penstock.authoring.compilation.arguments import INDEX, Encoder, escape, expression_of
from penstock.authoring.compilation.changes import refuse_changed
from penstock.authoring.compilation.exact import is_exact
from penstock.authoring.compilation.node import FanOut, Node
from penstock.authoring.compilation.operations import OperationSymbol
from penstock.authoring.compilation.program.code_location import current_location
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
from penstock.authoring.function import TaskFunction
from penstock.authoring.pods.pod_call import MARK
from penstock.authoring.pods.pod_operations import SCALAR


class _Column(NamedTuple):
    """An argument that is passed item by item."""

    total: str
    """An expression for its length."""
    template: dict[str, Any]
    literal: list[Any] | None = None
    items: Any = None
    """The value of forEach.items, if this is the only column."""


def fan_out(
    node: Node, task: TaskFunction, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[FanOut, dict[str, Template]]:
    """Read the arguments of map().

    Args:
        node: the mapped task.
        task: the Python task.
        args: the positional arguments.
        kwargs: the keyword arguments.

    Returns:
        The fan-out, and the arguments of an item by name.

    Raises:
        RefusedError: there is nothing to map over, or lengths differ.
    """
    encoder = Encoder(node)
    columns: list[_Column] = []

    def read(value: Any) -> Template:
        column = _column(value, node, encoder)
        if column is None:
            return encoder.encode_value(value)
        columns.append(column)
        return column.template

    template = _by_name(task, node, args, kwargs, read)
    if not columns:
        raise current_location().compile_error(
            f"{task.name}.map() has no list or other iterable to map over", "pass a list, or use submit()"
        )
    lengths = {len(column.literal) for column in columns if column.literal is not None}
    if len(lengths) > 1:
        raise current_location().compile_error(
            f"{task.name}.map() needs lists of one length; got {sorted(lengths)}", "wrap one in unmapped(...)"
        )
    total = columns[0].total
    for column in columns[1:]:
        if column.total != total:
            node.lengths.append([node.slots.add_expression(total), node.slots.add_expression(column.total)])
    if len(columns) == 1 and columns[0].items is not None:
        (only,) = columns
        kept = {key: only.template[key] for key in ("type",) if key in only.template}
        only.template.clear()
        only.template.update({MARK: "value", "slot": node.slots.add_expression("item"), **kept})
        return FanOut({"items": only.items}, total), template
    return FanOut({"count": int(total) if total.isdecimal() else f"$({total})"}, total), template


def _by_name(task: TaskFunction, node: Node, args: Any, kwargs: Any, read: Any) -> dict[str, Template]:
    bound = node.bind_arguments(args, kwargs)
    template: dict[str, Template] = {}
    for name, value in bound.items():
        kind = task.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            template[name] = [read(each) for each in value]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            template[name] = {key: read(each) for key, each in value.items()}
        else:
            template[name] = read(value)
    return template


def _column(value: Any, node: Node, encoder: Encoder, *, is_failure_allowed: bool = False) -> _Column | None:  # noqa: PLR0911 - one for each kind
    """Return an argument as a column; None if it is passed whole to each item."""
    if isinstance(value, unmapped):
        return None
    if isinstance(value, allow_failure):
        return _column(value.value, node, encoder, is_failure_allowed=True)
    refuse_changed(value)
    if isinstance(value, ParamSymbol):
        return _param_column(value, node, encoder)
    if isinstance(value, TracedFutures | TracedStates):
        return _item_column(value.node, (), encoder, is_failure_allowed=is_failure_allowed)
    if isinstance(value, ResultSymbol):
        if value.node.fan_out is not None and not value.path:
            return _item_column(value.node, (), encoder, is_failure_allowed=False)
        return _result_column(value.node, value.path, node, encoder)
    if isinstance(value, TracedFuture | TracedState):
        return _result_column(value.node, (), node, encoder)
    if isinstance(value, OperationSymbol) and value.operation not in SCALAR:
        raise current_location().compile_error(
            f"cannot map over {value.description}: the number of items is not known before the task runs",
            "return it from a task, and map over its result; or mark it as unmapped(...) if it is not a list",
        )
    if isinstance(value, str | bytes | bytearray | Mapping | Symbol) or not isinstance(value, Iterable):
        return None
    items = list(value)
    templates = [encoder.encode_value(each, is_failure_allowed=is_failure_allowed) for each in items]
    template = {MARK: "pick", "items": templates, "index": node.slots.add_expression(INDEX)}
    return _Column(str(len(items)), template, items, escape(items) if is_exact(items) else None)


def _param_column(symbol: ParamSymbol, node: Node, encoder: Encoder) -> _Column | None:
    if not symbol.is_list:
        return None
    source = expression_of(symbol)
    param = symbol.param
    if param.is_converted or symbol.path:
        # Only the annotation of the flow can convert it, so the whole list is passed.
        template = {MARK: "element", "of": encoder.encode_value(symbol), "index": node.slots.add_expression(INDEX)}
        return _Column(f"size({source})", template)
    template = {MARK: "value", "slot": node.slots.add_expression(f"{source}[index]")}
    if param.element is not None:
        template["type"] = param.element
    return _Column(f"size({source})", template, None, f"$({source})")


def _item_column(upstream: Node, path: tuple[Step, ...], encoder: Encoder, *, is_failure_allowed: bool) -> _Column:
    assert upstream.fan_out is not None
    return _Column(upstream.fan_out.total, encoder.encode_item(upstream, path, is_failure_allowed=is_failure_allowed))


def _result_column(upstream: Node, path: tuple[Step, ...], node: Node, encoder: Encoder) -> _Column | None:
    if not path and _returns_one(upstream):
        return None
    if path:
        raise current_location().compile_error(
            f"cannot map over a part of the result of {upstream.name!r}: the number of items is not known before the"
            " task runs",
            "return that part from a task, and map over its result",
        )
    if upstream.task is None:
        raise current_location().compile_error(
            f"cannot map over the result of the flow {upstream.name!r}: its outputs do not include the length",
            "return the list from a task, and map over that",
        )
    upstream.is_counted = True
    template = {
        MARK: "element",
        "of": encoder.encode_value(ResultSymbol(upstream)),
        "index": node.slots.add_expression(INDEX),
    }
    return _Column(f"tasks.{upstream.name}.outputs.count", template)


def _returns_one(node: Node) -> bool:
    """Whether the return annotation of a task is not iterable, so that each item gets the whole result."""
    if node.task is None:
        return False
    try:
        hint = get_type_hints(node.task.fn).get("return")
    except (NameError, TypeError):
        return False  # names for type checkers only
    if node.task.is_generator or hint is None:
        return False
    origin = get_origin(hint) or hint
    return isinstance(origin, type) and (issubclass(origin, str | bytes | Mapping) or not hasattr(origin, "__iter__"))
