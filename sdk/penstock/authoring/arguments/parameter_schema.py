"""The parameters of a function as a JSON schema: `flow.parameters`."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from penstock.authoring.arguments.field_default import default_of, is_field
from penstock.authoring.runs.dumped import Dumped


@dataclass
class ParameterSchema(Dumped):
    """A JSON schema of parameters."""

    _fields = ("title", "type", "properties", "required", "definitions")

    title: str = "Parameters"
    type: str = "object"
    properties: dict[str, Any] = field(default_factory=dict)
    """The schema of each parameter by name."""
    required: list[str] = field(default_factory=list)
    """Those without a default."""
    definitions: dict[str, Any] = field(default_factory=dict)
    """What the schemas refer to."""


def parameter_schema(fn: Callable[..., Any], signature: inspect.Signature) -> ParameterSchema:
    """Return the schema of the parameters of a function.

    Args:
        fn: the function, for its annotations.
        signature: its signature.
    """
    made = ParameterSchema()
    fn = inspect.unwrap(fn)
    try:
        hints = typing.get_type_hints(getattr(fn, "__func__", fn), include_extras=True)
    except (NameError, TypeError):
        hints = {}  # names for type checkers only
    for position, (name, parameter) in enumerate(signature.parameters.items()):
        hint = hints.get(name, Any)
        if is_field(parameter.default):
            hint = Annotated[hint, parameter.default]
        schema, definitions = _schema_of(hint)
        made.definitions |= definitions
        made.properties[name] = {**schema, "title": name, "position": position}
        default = default_of(parameter)
        if default is not inspect.Parameter.empty:
            from pydantic_core import to_jsonable_python  # noqa: PLC0415 - few programs ask for schemas

            made.properties[name]["default"] = to_jsonable_python(default, serialize_unknown=True)
        elif parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            made.required.append(name)
    return made


def _schema_of(hint: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    import pydantic  # noqa: PLC0415 - as above

    try:
        schema = pydantic.TypeAdapter(hint).json_schema(ref_template="#/definitions/{model}")
    except pydantic.errors.PydanticUserError:
        return {}, {}  # a class that pydantic does not know has any value
    return schema, schema.pop("$defs", {})
