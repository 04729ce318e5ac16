"""What the evaluation of an expression costs at most, computed before it is evaluated.

The library counts the iterations of macros and nothing else, so one call on a long string can take seconds. The cost
is an upper bound of the work: for each node of the tree the size of its operands times how often it is evaluated. It
depends on the expression and the sizes of its values alone, so it is the same on every machine.

One unit is about one nanosecond on a machine of 2024. The factors were measured and rounded up; see
docs/decisions/expression-cost.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import cache, reduce
from typing import Any, Final

from penstock.engine.expressions.size import (
    MOST,
    SCALAR,
    Share,
    Size,
    concatenation,
    constant_text,
    join,
    join_all,
    measure,
    shared,
    text_size,
)
from penstock.engine.expressions.syntax_tree import Aggregate, Call, Comprehension, Constant, Identifier, Node, Select
from penstock.engine.expressions.time_zone import ZONED

CHEAP: Final = 10_000_000
"""At most this is evaluated where everything else waits for it."""
LIMIT: Final = 1_000_000_000
"""More is refused."""
ITERATIONS: Final = 10_000
"""Of all loops of an evaluation together; the library ends it beyond them."""

NODE: Final = 120
PER_INPUT_VALUE: Final = 400
PER_OUTPUT_VALUE: Final = 1_000
MOST_OUTPUT_VALUES: Final = 200_000
MOST_INSTRUCTIONS: Final = 350_000
"""A regular expression that compiles to more is refused by the library (RE2 with its 8 MiB)."""

_MISSING: Final = object()
_REPETITION: Final = re.compile(r"\{(\d*),?(\d*)\}")


def cost_of(tree: Node, values: Mapping[str, Any]) -> int:
    """Return the greatest possible cost of an evaluation.

    Args:
        tree: the expression.
        values: JSON values of its roots.
    """
    estimate = _Estimate(values, SCALAR)
    return estimate.of(tree, [estimate.measure(value) for value in values.values()])


def cost_of_any(tree: Node, size: Size) -> int:
    """Return the greatest possible cost of an evaluation whose values, all together, have a size."""
    return _Estimate({}, size).of(tree, [size])


class _Estimate:
    """Adds up the cost of one evaluation."""

    def __init__(self, values: Mapping[str, Any], root: Size) -> None:
        self._values = values
        self._root = root
        self._measured: dict[int, Size] = {}
        """By identity: an expression may name the same value hundreds of times."""
        self._loops = 0
        self._variables: dict[str, list[Size]] = {}
        """Variables of the macros around the present node; inner ones hide outer ones."""
        self._cost = 0

    def of(self, tree: Node, inputs: list[Size]) -> int:
        for value in inputs:
            self._add(1, PER_INPUT_VALUE * value.values + value.text_bytes)
        result = self._visit(tree, 1)
        self._add(1, PER_OUTPUT_VALUE * min(result.values, MOST_OUTPUT_VALUES) + 2 * result.text_bytes)
        return self._cost

    def measure(self, value: Any) -> Size:
        size = self._measured.get(id(value))
        if size is None:
            size = self._measured[id(value)] = measure(value)
        return size

    def _add(self, times: int, cost: int) -> None:
        self._cost = min(self._cost + times * cost, MOST)

    def _visit(self, node: Node, times: int) -> Size:
        """Add the cost of a node that is evaluated so many times; returns the size of its value."""
        self._add(times, NODE)
        if isinstance(node, Constant):
            return Size(node.size_bytes) if node.text is None else constant_text(node.text)
        known = self._follow(node)
        if known is not _MISSING:
            return self.measure(known)
        if isinstance(node, Identifier):
            return self._variables[node.name][-1] if self._variables.get(node.name) else self._root
        return self._visit_children(node, times)

    def _visit_children(self, node: Select | Call | Aggregate | Comprehension, times: int) -> Size:
        if isinstance(node, Select):
            element = self._visit(node.operand, times).largest_element()
            return SCALAR if node.is_test else element
        if isinstance(node, Call):
            return self._call(node, times)
        if isinstance(node, Aggregate):
            return self._aggregate(node, times)
        return self._loop(node, times)

    def _follow(self, node: Node) -> Any:
        """Return the value at a path from a root, if it is known."""
        if isinstance(node, Identifier):
            return _MISSING if self._variables.get(node.name) else self._values.get(node.name, _MISSING)
        if isinstance(node, Select) and not node.is_test:
            operand, key = self._follow(node.operand), node.field
        elif isinstance(node, Call) and node.function == "_[_]" and isinstance(node.arguments[1], Constant):
            operand, key = self._follow(node.arguments[0]), node.arguments[1].text or ""
        else:
            return _MISSING
        return operand.get(key, _MISSING) if isinstance(operand, dict) else _MISSING

    def _aggregate(self, node: Aggregate, times: int) -> Size:
        elements = [self._visit(each, times) for each in node.elements]
        self._add(times, 300 * len(elements))
        largest = join_all(elements)
        text_bytes = min(sum(each.text_bytes for each in elements), MOST)
        values = min(sum(each.values for each in elements) + 1, MOST)
        length = len(elements) if node.is_list else len(elements) // 2
        whole = Size(text_bytes, values, length, lambda: largest)
        return whole._replace(share=reduce(_with_share, elements, SCALAR).share)

    def _loop(self, node: Comprehension, times: int) -> Size:
        loop_range = self._visit(node.range, times)
        iterations = min(loop_range.length, ITERATIONS)
        inner = min(times * iterations, ITERATIONS)
        self._add(times, NODE * loop_range.length)
        start = self._visit(node.start, times)
        self._loops += 1
        loop = self._loops
        element = loop_range.largest_element()._replace(share=Share(loop, loop_range.text_bytes, loop_range.values))
        for variable in node.variables:
            self._variables.setdefault(variable, []).append(element)
        step = self._with(node.accumulator, start, lambda: self._body(node, inner))
        for variable in node.variables:
            self._variables[variable].pop()
        grown = _accumulated(start, step, iterations, loop) if iterations else start
        # Each iteration copies the list that it makes longer. Other accumulators are flags.
        self._add(inner, 30 * (grown.length - start.length))
        return self._with(node.accumulator, grown, lambda: self._visit(node.result, times))

    def _body(self, node: Comprehension, times: int) -> Size:
        self._visit(node.condition, times)
        return self._visit(node.step, times)

    def _with(self, variable: str, size: Size, visit: Callable[[], Size]) -> Size:
        self._variables.setdefault(variable, []).append(size)
        try:
            return visit()
        finally:
            self._variables[variable].pop()

    def _call(self, node: Call, times: int) -> Size:
        arguments = [self._visit(each, times) for each in node.arguments]
        rule = _RULES.get(node.function, _unknown_function)
        cost, size = rule(*arguments) if arguments else (0, SCALAR)
        self._add(times, min(cost, MOST))
        return size


def _with_share(whole: Size, element: Size) -> Size:
    return whole._replace(share=shared(whole, element))


def _accumulated(start: Size, step: Size, iterations: int, loop: int) -> Size:
    """Return the size of an accumulator after the last iteration, from that after the first one.

    Macros fold into a flag, or into a list that each iteration makes longer.
    """
    if step.length <= start.length:
        return join(start, step)
    text_bytes, values = step.text_bytes * iterations, step.values * iterations
    if step.share is not None and step.share.loop == loop:
        share = step.share
        text_bytes = min(text_bytes, share.text_bytes + share.added_bytes * iterations)
        values = min(values, share.values + share.added_values * iterations)
    return Size(
        min(text_bytes, MOST),
        min(values, MOST),
        min(step.length * iterations, MOST),
        cache(lambda: join(start.largest_element(), step.largest_element())),
    )


# Rules: what a call costs, and how large its value is

Rule = Callable[..., tuple[int, Size]]


def _unknown_function(*arguments: Size) -> tuple[int, Size]:
    text_bytes = sum(each.text_bytes for each in arguments)
    values = sum(each.values for each in arguments)
    return 1_000 + 50 * text_bytes + 200 * values, Size(min(4 * text_bytes + 64, MOST), values, values)


def _constant(*_: Size) -> tuple[int, Size]:
    return 100, SCALAR


def _walk(*arguments: Size) -> tuple[int, Size]:
    """A number, a time or a type from a text or from a few numbers."""
    return 1_000 + sum(5 * each.text_bytes + 100 * each.values for each in arguments), SCALAR


def _compare(one: Size, other: Size) -> tuple[int, Size]:
    values = min(one.values, other.values)
    return values * 150 + min(one.text_bytes, other.text_bytes) // 5, SCALAR


def _contain(element: Size, container: Size) -> tuple[int, Size]:
    text_bytes = min(container.text_bytes, element.text_bytes * max(container.length, 1))
    return 300 + container.values * 100 + text_bytes // 5 + element.text_bytes, SCALAR


def _add(one: Size, other: Size) -> tuple[int, Size]:
    cost = one.text_bytes + other.text_bytes + 60 * (one.length + other.length)
    return cost, concatenation(one, other)


def _find_cost(text: Size, wanted: Size) -> int:
    """Each position is compared with what is wanted: up to a quarter of the square if both are long."""
    wanted_bytes = min(wanted.text_bytes, text.text_bytes // 2)
    return 12 * text.text_bytes + (text.text_bytes - wanted_bytes) * wanted_bytes // 30


def _find(text: Size, wanted: Size, *_: Size) -> tuple[int, Size]:
    return _find_cost(text, wanted) + 100, SCALAR


def _occurrences(text: Size, wanted: Size) -> int:
    """How often a text can contain another, of which only a constant's length is known from below."""
    shortest = max(min(map(len, wanted.texts), default=1), 1) if wanted.texts else 1
    return text.text_bytes // shortest + 1


def _replace(text: Size, wanted: Size, replacement: Size, *_: Size) -> tuple[int, Size]:
    occurrences = _occurrences(text, wanted)
    size = text_size(text.text_bytes + occurrences * replacement.text_bytes)
    return _find_cost(text, wanted) + 60 * occurrences + 2 * size.text_bytes, size


def _split(text: Size, separator: Size, *_: Size) -> tuple[int, Size]:
    parts = _occurrences(text, separator)
    size = Size(text.text_bytes, parts + 1, parts, text.without_texts)
    return _find_cost(text, separator) + 150 * parts, size


def _join(parts: Size, separator: Size = SCALAR) -> tuple[int, Size]:
    size = text_size(parts.text_bytes + parts.length * separator.text_bytes)
    return 50 * parts.length + 2 * size.text_bytes, size


def _transform(text: Size, *_: Size) -> tuple[int, Size]:
    """A text of about the same length."""
    return 100 + 8 * text.text_bytes, text_size(2 * text.text_bytes + 2)


def _format(pattern: Size, arguments: Size) -> tuple[int, Size]:
    # A number has at most 1,000 digits after its point, and 64 in binary notation.
    clauses = min(pattern.text_bytes // 2 + 1, max(arguments.length, 1))
    size = text_size(pattern.text_bytes + 3 * arguments.text_bytes + 400 * arguments.values + 1_400 * clauses)
    return 100 + 3 * size.text_bytes, size


def _field_of_time(_time: Size, zone: Size = SCALAR) -> tuple[int, Size]:
    # The file of a zone is read once.
    return 2_000 + 5 * zone.text_bytes, SCALAR


def _text(value: Size) -> tuple[int, Size]:
    return 300 + 2 * value.text_bytes, text_size(value.text_bytes + 64)


def _measure_length(value: Size) -> tuple[int, Size]:
    return 50 + value.text_bytes, SCALAR


def _index(container: Size, key: Size) -> tuple[int, Size]:
    return 200 + key.text_bytes, container.largest_element()


def _either(_condition: Size, one: Size, other: Size) -> tuple[int, Size]:
    return 50, join(one, other)


def _logic(*_: Size) -> tuple[int, Size]:
    return 20, SCALAR


def _optional(*arguments: Size) -> tuple[int, Size]:
    size = arguments[0]
    for other in arguments[1:]:
        size = join(size, other)
    return 200, size


def _first_of(*arguments: Size) -> tuple[int, Size]:
    return 200 + 100 * sum(each.values for each in arguments), SCALAR


def _match(text: Size, pattern: Size) -> tuple[int, Size]:
    # It is compiled for each call. RE2 follows all its states at once when there are too many of them to remember.
    instructions = _instructions(pattern)
    return 3_000 + 1_000 * instructions + text.text_bytes * (10 + 6 * instructions), SCALAR


def _instructions(pattern: Size) -> int:
    """Return an upper bound of what a regular expression compiles to."""
    if pattern.texts is None:
        # A pattern of a few characters cannot repeat a class of Unicode.
        return MOST_INSTRUCTIONS if pattern.text_bytes > 5 else 1_500 * pattern.text_bytes  # noqa: PLR2004 - `\pL{2}` has six
    return max(map(_instructions_of, pattern.texts))


def _instructions_of(pattern: str) -> int:
    repetitions = [max(int(low[:5] or 1), int(high[:5] or 1), 1) for low, high in _REPETITION.findall(pattern)]
    if "(" in pattern:
        # Groups repeat what repeats in them; RE2 refuses more than 1,000 times in all.
        copies = (len(pattern) + 1) * min(math.prod(repetitions), 1_000)
    else:
        copies = len(pattern) + 1 + sum(repetitions)
    # `.` and what is negated stand for many ranges of bytes in UTF-8; a class of Unicode for hundreds of them.
    has_classes = "\\p" in pattern or "\\P" in pattern or "[[:" in pattern or "(?" in pattern or not pattern.isascii()
    has_ranges = "." in pattern or "^" in pattern[1:] or "\\" in pattern
    each = 1_500 if has_classes else 16 if has_ranges else 2
    return min(each * copies, MOST_INSTRUCTIONS)


_RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"), _compare),
    **dict.fromkeys(("startsWith", "endsWith"), _compare),
    **dict.fromkeys(("contains", "indexOf", "lastIndexOf"), _find),
    **dict.fromkeys(("_&&_", "_||_", "!_", "@not_strictly_false", "__not_strictly_false__"), _logic),
    **dict.fromkeys(("_-_", "_*_", "_/_", "_%_", "-_", "type"), _constant),
    **dict.fromkeys(
        ("charAt", "substring", "lowerAscii", "upperAscii", "trim", "reverse", "quote", "strings.quote", "bytes"),
        _transform,
    ),
    **dict.fromkeys(("base64.encode", "base64.decode"), _transform),
    **dict.fromkeys(("int", "uint", "double", "bool", "timestamp", "duration"), _walk),
    **dict.fromkeys(("math.greatest", "math.least", "math.@max", "math.@min"), _first_of),
    **dict.fromkeys(
        ("dyn", "optional.of", "optional.ofNonZeroValue", "value", "hasValue", "or", "orValue", "optional.none"),
        _optional,
    ),
    **dict.fromkeys(("_[_]", "_[?_]", "_?._"), _index),
    **dict.fromkeys(("in", "@in", "_in_"), _contain),
    **dict.fromkeys(ZONED, _field_of_time),
    "_+_": _add,
    "_?_:_": _either,
    "replace": _replace,
    "split": _split,
    "join": _join,
    "format": _format,
    "string": _text,
    "size": _measure_length,
    "matches": _match,
}
