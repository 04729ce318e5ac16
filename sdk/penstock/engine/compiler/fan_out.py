"""Fan-outs: the items for which a task with forEach runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.api.flow import MAX_ITEMS, ForEach
from penstock.engine.expressions.path import describe
from penstock.engine.expressions.scope import Scope, TaskReference
from penstock.engine.expressions.template import ValueTemplate, compile_value
from penstock.errors import ExpressionError, Problem, in_field


@dataclass(frozen=True, slots=True)
class FanOut:
    """The items of a task with forEach: exactly one of items, count and matrix is given."""

    items: ValueTemplate | None = None
    count: ValueTemplate | None = None
    matrix: Mapping[str, ValueTemplate] | None = None

    @property
    def tasks(self) -> frozenset[TaskReference]:
        """Which attributes of which tasks its expressions use."""
        given = [self.items, self.count, *(self.matrix or {}).values()]
        return frozenset().union(*(one.tasks for one in given if one is not None))

    @property
    def params(self) -> frozenset[str]:
        """Names of the params that its expressions use."""
        given = [self.items, self.count, *(self.matrix or {}).values()]
        return frozenset().union(*(one.params for one in given if one is not None))

    @property
    def cheap_weight(self) -> int:
        """The least `Expression.cheap_weight` of its expressions."""
        given = [self.items, self.count, *(self.matrix or {}).values()]
        return min(one.cheap_weight for one in given if one is not None)

    @property
    def fixed_count(self) -> int | None:
        """Number of items, if it depends on no expression."""
        given = [self.items, self.count, *(self.matrix or {}).values()]
        return len(self.expand({})) if all(one.is_constant for one in given if one is not None) else None

    def expand(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the items.

        Args:
            values: values of the roots, as for `Expression.evaluate`.

        Returns:
            The items: those of the list, the numbers from 0 to count-1, or an object for each combination of the axes.
            The axes come in the order of their names, for the API server keeps no other, and the last changes fastest.

        Raises:
            ExpressionError: a value is not a list or number, or there are more items than MAX_ITEMS.
        """
        if self.items is not None:
            items = _as_list(_evaluate(self.items, values, "forEach.items"), "forEach.items")
            if len(items) > MAX_ITEMS:
                raise ExpressionError(f"forEach.items has {len(items)} items: at most {MAX_ITEMS} are allowed")
            return items
        if self.count is not None:
            return list(range(_as_count(_evaluate(self.count, values, "forEach.count"), "forEach.count")))
        assert self.matrix is not None
        axes = {
            name: _as_list(_evaluate(self.matrix[name], values, f"forEach.matrix.{name}"), f"forEach.matrix.{name}")
            for name in sorted(self.matrix)
        }
        if (total := math.prod(len(axis) for axis in axes.values())) > MAX_ITEMS:
            raise ExpressionError(f"forEach.matrix has {total} combinations: at most {MAX_ITEMS} are allowed")
        return [dict(zip(axes, combination, strict=True)) for combination in itertools.product(*axes.values())]


def compile_fan_out(for_each: ForEach, scope: Scope, path: str, report: Callable[[Problem], None]) -> FanOut | None:
    """Compile a task's forEach.

    Args:
        for_each: the field.
        scope: what its expressions may refer to.
        path: field path, for problems.
        report: takes each problem found.

    Returns:
        The fan-out; None if a problem makes it useless.
    """
    given = [name for name in ("items", "count", "matrix") if _is_given(for_each, name)]
    if len(given) != 1:
        report(Problem(path, f"must have exactly one of items, count and matrix; got {' and '.join(given) or 'none'}"))
        return None
    (kind,) = given
    value = getattr(for_each, kind)
    parts = {f"matrix.{axis}": one for axis, one in value.items()} if kind == "matrix" else {kind: value}
    compiled: dict[str, ValueTemplate] = {}
    for field, part in parts.items():
        try:
            compiled[field] = _compile_part(part, scope)
        except ExpressionError as error:
            report(Problem(f"{path}.{field}", str(error)))
    if len(compiled) < len(parts):
        return None
    fan_out = FanOut(
        items=compiled.get("items"),
        count=compiled.get("count"),
        matrix={axis: compiled[f"matrix.{axis}"] for axis in value} if kind == "matrix" else None,
    )
    if all(part.is_constant for part in compiled.values()):
        try:
            fan_out.expand({})
        except ExpressionError as error:
            report(Problem(path.removesuffix(".forEach"), str(error)))
    return fan_out


def _is_given(for_each: ForEach, field: str) -> bool:
    # `items` may be any JSON, so a null is a value there. In the other fields it means that the field is not given.
    return field in for_each.model_fields_set and (field == "items" or getattr(for_each, field) is not None)


def _compile_part(value: Any, scope: Scope) -> ValueTemplate:
    part = compile_value(value, scope)
    if part.is_text:
        raise ExpressionError("must be one expression, without text around it")
    return part


def _evaluate(template: ValueTemplate, values: Mapping[str, Any], field: str) -> Any:
    try:
        return template.evaluate(values)
    except ExpressionError as error:
        raise in_field(field, error) from error


def _as_list(value: Any, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise ExpressionError(f"{field} must be a list; got {describe(value)}")
    return value


def _as_count(value: Any, field: str) -> int:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or value != math.floor(value) or value < 0:
        raise ExpressionError(f"{field} must be a whole number of at least 0; got {describe(value)}")
    if value > MAX_ITEMS:
        raise ExpressionError(f"{field} is {int(value)}: at most {MAX_ITEMS} items are allowed")
    return int(value)
