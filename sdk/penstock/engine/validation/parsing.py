"""Parsing of objects into models, with readable problems.

The API server checks schemas before the operator reads an object. This is for everything else: local runs, the command
line, a spec in a ConfigMap, an object written by an older version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from penstock.api.backfill import BackfillSpec
from penstock.api.base import AS_STORED, ApiModel
from penstock.api.duration import DURATION_PATTERN
from penstock.api.flow import FlowSpec
from penstock.api.flow_run import ITEMS_PATTERN, FlowRunSpec
from penstock.api.schedule import MOMENT_PATTERN, ScheduleSpec
from penstock.engine.expressions.path import describe
from penstock.engine.nesting import find_too_deep
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import InvalidSpecError, Problem

Model = TypeVar("Model", bound=ApiModel)

MAX_PROBLEMS: Final = 50

TYPES: Final = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
UNION_ARMS: Final = frozenset({"int", "str", "constrained-int", "constrained-str"})
"""How pydantic marks the errors of `int | str`."""
PATTERNS: Final = {
    DURATION_PATTERN: "a duration of numbers and units h, m, s or ms, as in 90s or 1h30m",
    MOMENT_PATTERN: "a time as in 2026-12-24T18:00:00Z, 2026-12-24T18:00:00 for one in timeZone, or 2026-12-24",
    r"^[a-z]([-a-z0-9]*[a-z0-9])?$": "lower-case letters, digits and hyphens, beginning with a letter",
    r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$": "lower-case letters, digits, hyphens and dots",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "letters, digits and underscores, not beginning with a digit",
    ITEMS_PATTERN: "indexes of items and ranges of them, as in 3,7-9",
    r"^(100|[0-9]{1,2})%$": "a percentage from 0% to 100%",
}
"""Descriptions of the patterns of the API."""


def parse_flow(obj: Mapping[str, Any]) -> FlowSpec:
    """Read the spec of a Flow.

    Args:
        obj: the whole object, as JSON has it.

    Raises:
        InvalidSpecError: it has unknown, missing or invalid fields. `check_flow` checks the rest.
    """
    return parse(FlowSpec, obj.get("spec"), "spec")


def parse_run(obj: Mapping[str, Any], *, has_begun: bool = False) -> FlowRunSpec:
    """Read the spec of a FlowRun, as `parse_flow` does; one that has begun keeps durations that are too long."""
    return parse(FlowRunSpec, obj.get("spec"), "spec", context=AS_STORED if has_begun else None)


def parse_schedule(obj: Mapping[str, Any]) -> ScheduleSpec:
    """Read the spec of a Schedule, as `parse_flow` does."""
    return parse(ScheduleSpec, obj.get("spec"), "spec")


def parse_backfill(obj: Mapping[str, Any]) -> BackfillSpec:
    """Read the spec of a Backfill, as `parse_flow` does."""
    return parse(BackfillSpec, obj.get("spec"), "spec")


def parse(model: type[Model], value: Any, path: str, *, context: Mapping[str, Any] | None = None) -> Model:
    """Read a model.

    Args:
        model: what to read.
        value: plain JSON.
        path: its field path, for problems.
        context: of the validation; `AS_STORED` or None.

    Raises:
        InvalidSpecError: it has unknown, missing or invalid fields.
    """
    if value is None:
        raise InvalidSpecError([Problem(path, "is required")])
    if (deep := find_too_deep(value, path)) is not None:
        raise InvalidSpecError([deep])
    try:
        # As the API server does: "5" is not a number and 1 is not true.
        return model.model_validate(value, strict=True, context=context)
    except ValidationError as error:
        problems = list(dict.fromkeys(_problems(model, error, path)))
        raise InvalidSpecError(problems[:MAX_PROBLEMS]) from error


def _problems(model: type[BaseModel], error: ValidationError, path: str) -> Iterator[Problem]:
    """Yield a problem for each error. A value that fits no type of a union has an error for each, but one problem."""
    unions: dict[str, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        where, owner = _locate(model, details["loc"], path)
        if details["loc"] and details["loc"][-1] in UNION_ARMS:
            unions.setdefault(where, []).append(details)
        else:
            yield Problem(where, _say(details, owner))
    for where, arms in unions.items():
        specific = [details for details in arms if details["type"] not in TYPES]
        if specific:
            yield Problem(where, _say(specific[0], model))
        else:
            types = " or ".join(dict.fromkeys(TYPES[details["type"]] for details in arms))
            yield Problem(where, f"must be {types}; got {describe(arms[0]['input'])}")


def _locate(model: type[BaseModel], location: tuple[int | str, ...], path: str) -> tuple[str, type[BaseModel]]:
    """Return the field path of an error, and the model whose field it is about."""
    owner, below = model, model
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in UNION_ARMS and part != "[key]":
            path += f".{part}"
            owner = below
            annotations = [field.annotation for field in owner.model_fields.values() if field.alias == part]
            below = (_model_in(annotations[0]) if annotations else None) or owner
    return path, owner


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for one in get_args(annotation) if (model := _model_in(one))), None)


def _say(details: ErrorDetails, owner: type[BaseModel]) -> str:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    if kind == "value_error":
        return f"{context['error']}; got {describe(value)}"
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        known = [field.alias or name for name, field in owner.model_fields.items()]
        return f"unknown field{suggest(str(details['loc'][-1]), known)}; known fields: {enumerate_names(known)}"
    if kind in ("too_long", "string_too_long", "too_short", "string_too_short"):
        return _say_length(value, context)
    must = f"be {TYPES[kind]}" if kind in TYPES else None
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f"must {must}; got {describe(value)}: put it in quotes"
    if kind == "string_pattern_mismatch":
        must = f"be {PATTERNS.get(context['pattern'], 'of the form ' + context['pattern'])}"
    if kind == "literal_error":
        must = f"be {str(context['expected']).replace(chr(39), '')}"
    if kind in ("greater_than_equal", "less_than_equal"):
        must = f"be at least {context['ge']}" if "ge" in context else f"be at most {context['le']}"
    return f"must {must or details['msg'].removeprefix('Input should ')}; got {describe(value)}"


def _say_length(value: Any, context: Mapping[str, Any]) -> str:
    counted = "characters" if isinstance(value, str) else "entries"
    if "max_length" in context:
        return f"has {len(value)} {counted}: at most {context['max_length']} are allowed"
    return f"has {len(value)} {counted}: at least {context['min_length']} is needed"
