"""Params: what a Flow declares, and the values that a run gives."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from penstock.api.flow import Param
from penstock.engine.expressions.budget import FIELDS_COST, limited
from penstock.engine.expressions.expression import Scope, compile_expression
from penstock.engine.expressions.input_values import GREATEST_INT, LEAST_INT, MAX_DEPTH
from penstock.engine.expressions.path import describe
from penstock.engine.nesting import is_deeper
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import ExpressionError, InvalidSpecError, Problem

MAX_PARAMS_BYTES: Final = 512 * 2**10
"""Of all values of a run as JSON: they stand in its spec and in its status, and the API server stores 1.5 MiB."""
ARTICLES: Final = {"array": "an array", "object": "an object", "integer": "a whole number"}

# CEL's matches() is RE2: linear in time for any pattern, and the same language that the CRD documents.
_MATCHES: Final = compile_expression("item.text.matches(item.pattern)", Scope(frozenset({"item"})))


def resolve_params(
    params: Sequence[Param] | None,
    given: Mapping[str, Any] | None,
    *,
    path: str = "spec.params",
    later: Collection[str] = (),
    is_stored: bool = False,
) -> dict[str, Any]:
    """Return the value of every param of a run.

    An integer is any number without a fraction, as in JSON Schema, and becomes one: 3.0 is 3. A boolean is not a
    number. A null means that no value is given, as to the API server.

    Args:
        params: the Flow's declarations.
        given: the run's values by name.
        path: field path of `given`, for problems.
        later: names of given values that are computed later; only that these params exist is checked.
        is_stored: the run's status has them already, so their size is not checked.

    Returns:
        The values by name, in the order of the declarations, without optional params that have no value.

    Raises:
        InvalidSpecError: values are missing, unknown or invalid. Holds every problem.
    """
    with limited(FIELDS_COST):
        values = _resolve(params, given or {}, path, later)
    if not is_stored and (size_bytes := _size_bytes(values)) > MAX_PARAMS_BYTES:
        message = (
            f"are {size_bytes >> 10} KiB: at most {MAX_PARAMS_BYTES >> 10} KiB are allowed in all; pass the place of "
            "what is larger, in an object store or a volume"
        )
        raise InvalidSpecError([Problem(path, message)])
    return values


def _resolve(
    params: Sequence[Param] | None, given: Mapping[str, Any], path: str, later: Collection[str]
) -> dict[str, Any]:
    known = {param.name: param for param in params or ()}
    problems = [
        Problem(f"{path}.{name}", f"the flow has no such param{suggest(name, known)}: it has {enumerate_names(known)}")
        for name in given
        if name not in known
    ]
    values: dict[str, Any] = {}
    for name, param in known.items():
        if given.get(name) is not None:
            values[name] = _normal(param, given[name])
            if name not in later:
                problems += (Problem(f"{path}.{name}", message) for message in _check_value(param, values[name]))
        elif param.is_required:
            kind = ARTICLES.get(param.type, f"a {param.type}")
            described = f" ({param.description})" if param.description else ""
            problems.append(Problem(f"{path}.{name}", f"is required: the flow needs {kind}{described}"))
        elif param.default is not None:
            values[name] = _normal(param, param.default)
    if problems:
        raise InvalidSpecError(problems)
    return values


def _size_bytes(values: Mapping[str, Any]) -> int:
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=str)
    return len(text.encode("utf-8", "surrogatepass"))


def check_params(params: Sequence[Param], *, path: str = "spec.params") -> list[Problem]:
    """Find what is wrong with a Flow's declarations.

    Args:
        params: the declarations.
        path: field path of the list, for problems.
    """
    problems: list[Problem] = []
    first: dict[str, int] = {}
    with limited(FIELDS_COST):
        for index, param in enumerate(params):
            where = f"{path}[{index}]"
            if first.setdefault(param.name, index) != index:
                message = f'"{param.name}" is already the name of {path}[{first[param.name]}]'
                problems.append(Problem(f"{where}.name", message))
            problems += (Problem(f"{where}.{field}", message) for field, message in _check_declaration(param))
    return problems


def _check_declaration(param: Param) -> Iterator[tuple[str, str]]:
    """Yield each field of a declaration that is wrong, and why."""
    if param.required and param.default is not None:
        yield "required", "a param with a default cannot be required: remove one of the two"
    yield from _check_rules(param)
    for index, value in enumerate(param.enum or ()):
        if message := _type_fault(param, _normal(param, value)):
            yield f"enum[{index}]", message
    if param.default is not None and not (param.pattern and _pattern_fault(param.pattern)):
        for message in _check_value(param, _normal(param, param.default)):
            yield "default", message


def _check_rules(param: Param) -> Iterator[tuple[str, str]]:
    if param.pattern is not None:
        if param.type != "string":
            yield "pattern", f"applies only to strings; the type is {param.type}"
        elif message := _pattern_fault(param.pattern):
            yield "pattern", message
    for field, bound in (("minimum", param.minimum), ("maximum", param.maximum)):
        if bound is not None and param.type not in ("integer", "number"):
            yield field, f"applies only to numbers; the type is {param.type}"
    if param.minimum is not None and param.maximum is not None and param.minimum > param.maximum:
        yield "minimum", f"must be at most the maximum, {param.maximum}; got {param.minimum}"


def _normal(param: Param, value: Any) -> Any:
    if param.type == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _check_value(param: Param, value: Any) -> Iterator[str]:
    """Yield what is wrong with a value of a run, or with a default."""
    if message := _type_fault(param, value):
        yield message
        return
    if param.enum is not None and not any(_is_same(value, _normal(param, one)) for one in param.enum):
        allowed = [json.dumps(one, ensure_ascii=False) for one in param.enum]
        nearest = suggest(value, [one for one in param.enum if isinstance(one, str)]) if isinstance(value, str) else ""
        yield f"must be one of {enumerate_names(allowed)}; got {describe(value)}{nearest}"
    if param.pattern is not None and isinstance(value, str):
        yield from _check_pattern(param.pattern, value)
    if param.type in ("integer", "number"):
        if param.minimum is not None and value < param.minimum:
            yield f"must be at least {param.minimum}; got {value}"
        if param.maximum is not None and value > param.maximum:
            yield f"must be at most {param.maximum}; got {value}"


def _type_fault(param: Param, value: Any) -> str | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "string": isinstance(value, str),
        "integer": is_number and isinstance(value, int),
        "number": is_number,
        "boolean": isinstance(value, bool),
        "array": isinstance(value, list),
        "object": isinstance(value, Mapping),
    }[param.type]
    if not fits:
        hint = ": put it in quotes" if param.type == "string" and (is_number or isinstance(value, bool)) else ""
        return f"must be {ARTICLES.get(param.type, f'a {param.type}')}; got {describe(value)}{hint}"
    if isinstance(value, int) and not LEAST_INT <= value <= GREATEST_INT:
        return f"must fit into 64 bits; got {value}: use a string"
    if is_deeper(value, MAX_DEPTH):
        return f"is nested deeper than {MAX_DEPTH} levels"
    return None


def _is_same(one: Any, other: Any) -> bool:
    """Compare as JSON does, where true is not 1."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    return bool(one == other)


def _pattern_fault(pattern: str) -> str | None:
    try:
        _MATCHES.evaluate({"item": {"text": "", "pattern": pattern}})
    except ExpressionError as error:
        reason = str(error).partition("invalid regular expression: ")[2] or str(error)
        return f"is not a valid RE2 regular expression (RE2 has no look-around and no back-references): {reason}"
    return None


def _check_pattern(pattern: str, value: str) -> Iterator[str]:
    try:
        if not _MATCHES.evaluate({"item": {"text": value, "pattern": pattern}}):
            yield f"must match {pattern}; got {describe(value)}"
    except ExpressionError as error:
        yield f"cannot be matched against {pattern}: {error}"
