"""Evaluates CEL: everything that is particular to the library behind it is in this module.

Properties of `cel-expr-python` 0.1 shape it. An error is a value whose type is ERROR, not an exception. An optional
inside a map crashes the process in `plain_value()`, so values are converted level by level. And each null that is
converted leaks a reference to None. Python before 3.12 counts these and crashes at zero, so nulls are found by type.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, lru_cache
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings

from penstock.engine.expressions.budget import may_spend, spend
from penstock.engine.expressions.cost import CHEAP, LIMIT, cost_of, cost_of_any
from penstock.engine.expressions.failure import Failure
from penstock.engine.expressions.input_values import GREATEST_INT, LEAST_INT, MAX_DEPTH, Inputs
from penstock.engine.expressions.lexer import Fault
from penstock.engine.expressions.memory_limit import LIMIT_BYTES, limited_evaluation
from penstock.engine.expressions.size import Size, unknown
from penstock.engine.expressions.slow_evaluation import slow_evaluator
from penstock.engine.expressions.syntax_tree import Call, Comprehension, Constant, Node, nodes_of, read_tree
from penstock.engine.expressions.time_zone import ZONE, ZONED, ZONES, ZONES_COST, is_zone, known_zones, no_such_zone
from penstock.engine.suggestion import suggest

MAX_VALUES: Final = 200_000
"""Values in the value of an expression: the items of the biggest fan-out and a little more."""
MAX_SHORT: Final = 256
"""Characters. Compiled, an expression takes up to 130 bytes for each of its characters."""
MAX_SHORT_PROGRAMS: Final = 1024
"""At about 8 KB each, 34 KB at most."""
MAX_LONG_PROGRAMS: Final = 32
"""At 530 KB at most."""
MEASURED_VALUES: Final = 4096
"""The cost for so many values is computed where everything else waits for it: that takes 1 ms or two."""
LIGHT_WEIGHT: Final = 4096
"""Of values of which only the longest list is compared with what is cheap."""
TRIED_WEIGHTS: Final = tuple(4**power for power in range(3, 8))
TRIED_LENGTHS: Final = (0, 16, 64, 256)
"""Of values for which it is found out once whether an expression is cheap."""
EVALUATION: Final = 10_000
"""The cost of any evaluation, whatever it says."""
MEASURING_NODE: Final = 2_000
"""The cost of computing the cost, for each node of the expression."""
MEASURING_VALUE: Final = 1_000
"""The same, for each of its values."""
MOST_BOUNDS: Final = 64
"""Of one program that are remembered."""

_EXTENSIONS: Final = (
    ext_optional.ExtOptional(),
    ext_strings.ExtStrings(),
    ext_math.ExtMath(),
    ext_bindings.ExtBindings(),
    ext_encoders.ExtEncoders(),
)
_ROOT_TYPES: Final = {
    "params": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "tasks": cel.Type.Map(cel.Type.STRING, cel.Type.Map(cel.Type.STRING, cel.Type.DYN)),
    "run": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    "tick": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "index": cel.Type.INT,
}
FAILURES: Final = "failures"
"""The one field of `run` that holds a list. CEL has no types of objects whose fields differ: where it is used, the
fields of `run` are not checked before they are evaluated."""
FUNCTIONS: Final = frozenset(
    re.findall(
        r"\w+",
        """
    all bool bytes charAt contains double duration dyn endsWith exists exists_one filter first format getDate
    getDayOfMonth getDayOfWeek getDayOfYear getFullYear getHours getMilliseconds getMinutes getMonth getSeconds has
    hasValue indexOf int join last lastIndexOf lowerAscii map matches optFlatMap optMap or orValue replace reverse size
    split startsWith string substring timestamp trim type uint upperAscii value
    """,
    )
)
"""Functions and macros without a namespace, for suggestions. CEL decides which exist; docs/expressions.md has all."""

_COMPILE_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_STATUS = re.compile(r"^[A-Z_]+: ")
_NO_OVERLOAD = re.compile(
    r"no matching overloads? (?:found : |for ')([^' (]+)(?:' applied to ')?(?:\((.*)\))?", re.IGNORECASE
)
_OPERATOR = re.compile(r"^[_\[]*([^_a-z\[\]]+|in)_*$")
_MISSING_KEY = re.compile(r'^Key not found in map : "(.*)"$', re.DOTALL)


class Program:
    """A compiled expression of plain CEL."""

    def __init__(self, expression: Any, source: str, roots: frozenset[str]) -> None:
        self._expression = expression
        self._source = source
        self._roots = roots
        self._may_grow = "(" in source
        self._has_zones = ZONES in source
        self._bounds: dict[tuple[int, int, int], int] = {}
        self.result: str = expression.return_type().name()
        """Type of its values as far as it is known before it runs: BOOL, STRING, ..., DYN."""

    @cached_property
    def cheap_weight(self) -> int:
        """The weight of values up to which it is cheap, whatever the values; -1 if it may never be."""
        return self._largest_cheap((weight, unknown(weight, weight)) for weight in TRIED_WEIGHTS)

    @cached_property
    def _cheap_length(self) -> int:
        """The longest list or object up to which it is cheap if the values weigh no more than LIGHT_WEIGHT."""
        return self._largest_cheap((length, unknown(LIGHT_WEIGHT, length)) for length in TRIED_LENGTHS)

    def _largest_cheap(self, sizes: Iterable[tuple[int, Size]]) -> int:
        cheap = -1
        for tried, size in sizes:
            if self._bound(size) > CHEAP:
                break
            cheap = tried
        return cheap

    def _bound(self, size: Size) -> int:
        """Return the greatest possible cost for values whose size, all together, is known."""
        spend(MEASURING_NODE * self._nodes)
        return self._least_cost + cost_of_any(self.tree, size)

    def _bound_of(self, inputs: Inputs, weight: int, roots: int) -> int:
        """Return the greatest possible cost for light values: computed once for all that are about as large."""
        values, longest = (inputs.values + roots).bit_length(), inputs.longest.bit_length()
        key = (weight.bit_length(), values, longest)
        bound = self._bounds.get(key)
        if bound is None:
            if len(self._bounds) >= MOST_BOUNDS:
                self._bounds.clear()
            bound = self._bound(Size(1 << key[0], 1 << values, 1 << longest))
            self._bounds[key] = bound
        return bound

    @cached_property
    def _nodes(self) -> int:
        return sum(1 for _ in nodes_of(self.tree))

    @property
    def _least_cost(self) -> int:
        return EVALUATION + (ZONES_COST if self._has_zones else 0)

    @cached_property
    def tree(self) -> Node:
        """The tree, with its macros expanded."""
        return read_tree(self._expression.serialize())

    def run(self, data: Mapping[str, Any]) -> Any:
        """Return the value of the expression as plain JSON.

        Args:
            data: values of the roots.

        Raises:
            Failure: it could not be evaluated, or is too expensive.
            SlowFailure: it must be evaluated on a thread that may wait.
        """
        cheap = self.cheap_weight
        inputs = Inputs(max(cheap, MEASURED_VALUES))
        weight = inputs.weigh(data)
        is_cheap = weight <= cheap or (weight <= LIGHT_WEIGHT and inputs.longest <= self._cheap_length)
        if is_cheap and may_spend(self._bound_of(inputs, weight, len(data))):
            return self.evaluate(data)
        return self._run_measured(data, inputs)

    def _run_measured(self, data: Mapping[str, Any], inputs: Inputs) -> Any:
        evaluator = slow_evaluator()
        if inputs.values > MEASURED_VALUES:
            if evaluator is not None:
                evaluator.check_place()
            inputs = Inputs(sys.maxsize)
            inputs.weigh(data)
        spend(MEASURING_NODE * self._nodes + MEASURING_VALUE * inputs.values)
        cost = self._least_cost + cost_of(self.tree, data)
        if cost > LIMIT:
            raise Failure(
                f"it is too expensive: it may cost {cost / LIMIT:,.1f} times the limit of an expression (the size of "
                "its values, times the iterations of its macros): use smaller values or fewer iterations, or compute "
                "this in a task"
            )
        if evaluator is None or (cost <= CHEAP and may_spend(cost)):
            return self.evaluate(data)
        evaluator.check_place()
        spend(cost)
        return evaluator.evaluate(self._source, self._roots, data)

    def evaluate(self, data: Mapping[str, Any]) -> Any:
        """Return the value as `run` does, whatever it costs: for values that were checked.

        Raises:
            Failure: it could not be evaluated.
        """
        if self._has_zones:
            data = {**data, ZONES: known_zones()}
        try:
            with limited_evaluation() if self._may_grow else nullcontext():
                return _Converter().convert(self._expression.eval(data=data), 0)
        except Failure as failure:
            if self._has_zones and failure.key is not None:
                raise Failure(no_such_zone(failure.key), may_be_path=True, key=failure.key) from failure
            raise
        except MemoryError as error:
            # In this library map() and filter() copy their result once for each item, so long lists end here too.
            raise Failure(
                f"it needs more than the {LIMIT_BYTES >> 20} MiB of memory that an expression may use: "
                "values grow too large, or a list of more than about 1500 items is mapped or filtered"
            ) from error
        except Exception as error:  # the library raises RuntimeError, TypeError, SystemError and AssertionError alike
            raise Failure(_explain(str(error))) from error


def compile_program(source: str, roots: frozenset[str]) -> Program:
    """Compile plain CEL; what was compiled lately is remembered.

    Args:
        source: the expression.
        roots: the variables that it may use.

    Raises:
        Fault: it does not compile.
    """
    return (_compile_short if len(source) <= MAX_SHORT else _compile_long)(source, roots)


def _compile(source: str, roots: frozenset[str]) -> Program:
    try:
        environment = _environment(roots, is_run_dynamic=FAILURES in source, has_zones=ZONES in source)
        program = Program(environment.compile(source), source, roots)
    except RuntimeError as error:
        raise _read_compile_error(str(error), source, roots) from error
    if "optional" in program.result:
        raise Fault(0, "its value is optional: add .orValue(...) with the value to use otherwise")
    if "get" in source and any(map(_has_unchecked_zone, nodes_of(program.tree))):
        raise Fault(0, "a time zone must be the only argument of a method such as getHours(...)")
    return program


_compile_short: Final = lru_cache(maxsize=MAX_SHORT_PROGRAMS)(_compile)
_compile_long: Final = lru_cache(maxsize=MAX_LONG_PROGRAMS)(_compile)


def _has_unchecked_zone(node: Node) -> bool:
    """Whether a node is a call that gets a time zone which `References` has not seen."""
    if not isinstance(node, Call) or node.function not in ZONED:
        return False
    return not all(map(_is_checked_zone, node.arguments[1:]))


def _is_checked_zone(node: Node) -> bool:
    if isinstance(node, Constant):
        return is_zone(node.text or "")
    return isinstance(node, Comprehension) and node.accumulator == ZONE


@cache
def _environment(roots: frozenset[str], *, is_run_dynamic: bool, has_zones: bool) -> Any:
    variables = {root: _ROOT_TYPES.get(root, cel.Type.DYN) for root in sorted(roots)}
    if is_run_dynamic and "run" in roots:
        variables["run"] = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    if has_zones:
        variables[ZONES] = cel.Type.Map(cel.Type.STRING, cel.Type.STRING)
    return cel.NewEnv(variables=variables, extensions=list(_EXTENSIONS))


class _Converter:
    """Converts CEL's values into JSON's.

    Objects are sorted by key: CEL keeps no order, and the same input must always give the same result. Values are
    counted: in CEL a list may hold the same value a thousand times at no cost, in JSON each costs memory.
    """

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def convert(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if depth > MAX_DEPTH:
            raise Failure(f"its value is nested deeper than {MAX_DEPTH} levels")
        if self._left < 0:
            raise Failure(f"its value holds more than {MAX_VALUES} values")
        kind = value.type()
        if kind == cel.Type.NULL:
            return None
        try:
            plain = value.value()
        except TypeError as error:
            message = "its value contains an optional: add .orValue(...) with the value to use otherwise"
            raise Failure(message) from error
        if kind == cel.Type.ERROR:
            raise _read_failure(str(plain))
        if isinstance(plain, list):
            return [self.convert(one, depth + 1) for one in plain]
        if isinstance(plain, dict):
            if strange := [key for key in plain if not isinstance(key, str)]:
                raise Failure(f"keys of objects must be strings; got the key {strange[0]!r}: use string(...)")
            return {key: self.convert(plain[key], depth + 1) for key in sorted(plain)}
        return _json_scalar(plain)


def _json_scalar(plain: Any) -> Any:
    if plain is None or isinstance(plain, str | bool):
        return plain
    if isinstance(plain, int):
        if not LEAST_INT <= plain <= GREATEST_INT:
            raise Failure(f"its value {plain} does not fit into 64 bits")
        return plain
    if isinstance(plain, float):
        if not math.isfinite(plain):
            raise Failure(f"its value is {plain}, which JSON cannot represent")
        return plain
    if isinstance(plain, datetime):
        return plain.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(plain, timedelta):
        return f"{plain.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
    if isinstance(plain, bytes | bytearray):
        raise Failure("its value is bytes: use base64.encode(...) or string(...)")
    raise Failure("its value is a type, which JSON cannot represent")


def _read_failure(text: str) -> Failure:
    text = _STATUS.sub("", text)
    if missing := _MISSING_KEY.match(text):
        return Failure(f'there is no key "{missing[1]}"', may_be_path=True, key=missing[1])
    may_be_path = text.startswith(("Applying SELECT", "Index error", "Invalid container", "No matching overloads"))
    return Failure(_explain(text), may_be_path=may_be_path)


def _read_compile_error(text: str, source: str, roots: frozenset[str]) -> Fault:
    match = _COMPILE_ERROR.search(text)
    if match is None or int(match[1]) < 1:
        return Fault(0, _explain(_STATUS.sub("", match[3] if match else text)))
    lines = source.split("\n")
    offset = sum(len(line) + 1 for line in lines[: int(match[1]) - 1]) + int(match[2]) - 1
    message = match[3]
    if undeclared := re.match(r"undeclared reference to '([^']*)'", message):
        return _undeclared(undeclared[1], offset, source, roots)
    return Fault(min(max(offset, 0), len(source)), _explain(message))


def _undeclared(name: str, offset: int, source: str, roots: frozenset[str]) -> Fault:
    # CEL points at the last dot of a qualified name, and at the parenthesis of a call.
    first, dot, _ = name.partition(".")
    start = source.rfind(first, 0, offset + len(first))
    start = offset if start < 0 else start
    if re.match(r"\s*\(", source[start + len(first) :]) and not dot:
        return Fault(start, f"there is no function {first}(){suggest(first, FUNCTIONS)}")
    hint = suggest(first, roots)
    if source[start - 1 : start] == "-" and re.match(r"[A-Za-z0-9_\]]", source[max(start - 2, 0) : start - 1]):
        hint = hint or f'; a key with a hyphen is written ["...-{first}"]'
    return Fault(start, f'there is no "{first}" here{hint or "; known names: " + ", ".join(sorted(roots))}')


def _explain(text: str) -> str:
    """Translate a message of CEL's library for users."""
    text = text.split("\n", 1)[0].removesuffix(" (in container '')")
    for start, words in _WORDS:
        if start in text:
            return words
    if overload := _NO_OVERLOAD.search(text):
        operator = _OPERATOR.match(overload[1])
        named = operator[1] if operator else f"{overload[1]}()"
        types = (overload[2] or "").replace("int64", "int")
        return f"{named} cannot be applied to {f'({types})' if types else 'a value of this type'}"
    if syntax := re.match(
        r"Syntax error: (?:mismatched input|extraneous input|no viable alternative at input) '(.*?)'", text
    ):
        return "the expression ends too early" if syntax[1] == "<EOF>" else f'unexpected "{syntax[1]}"'
    return text


_WORDS: Final = (
    ("recursion depth", "it is nested too deeply: at most 32 levels, and 31 of + - * / in a row"),
    ("recursion limit", "it is nested too deeply: at most 32 levels, and 31 of + - * / in a row"),
    ("Iteration budget", "it iterates more than 10,000 times"),
    ("Applying SELECT", "only an object has fields, but this value is not an object"),
    ("<jump_condition>", "the condition before ? is neither true nor false"),
    ("<iter_range>", "only a list or an object can be iterated"),
    ("Invalid container type", "only a list or an object can be indexed"),
    ("construction from null", "a string is not valid Unicode"),
)
