"""Params of a Flow, from the signature of the function of the flow."""

from __future__ import annotations

import contextlib
import inspect
import math
import pickle
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, NamedTuple

from penstock.authoring.arguments.field_default import default_of, is_field
from penstock.authoring.compilation.exact import LARGEST, is_text
from penstock.authoring.compilation.program.code_location import CodeLocation
from penstock.authoring.compilation.secret_guard import SecretFoundError, pickled_without_secrets
from penstock.authoring.function import FlowFunction

PLAIN: Final[Mapping[Any, str]] = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}
"""Annotations whose values need no conversion."""
_TYPES: Final[Mapping[str, Any]] = {
    **{word: kind for kind, word in PLAIN.items()},
    "number": int | float,
}
"""Types of values, by type of a param."""


class FlowParam(NamedTuple):
    """A param of a Flow."""

    manifest: dict[str, Any]
    is_list: bool
    is_converted: bool
    """Whether the annotation converts the JSON value."""
    element: str | None = None
    """The plain type of the elements of a list; None if they have none."""

    has_default: bool = False
    """Whether the function has a default for it, which may be None."""

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.manifest["name"])

    @property
    def is_optional(self) -> bool:
        """Whether its value may be None."""
        return "required" in self.manifest

    @property
    def expression(self) -> str:
        """An expression for its value; null if it is not given."""
        return self.expression_or("null") if self.is_optional else f"params.{self.name}"

    def expression_or(self, default: str) -> str:
        """Return an expression for its value, or a default if it is not given."""
        return f"params.?{self.name}.orValue({default})"


def read_params(flow: FlowFunction, location: CodeLocation) -> dict[str, FlowParam]:
    """Read the params of a flow, by name.

    Raises:
        RefusedError: a parameter cannot be a param.
    """
    fn = inspect.unwrap(flow.fn)
    try:
        hints = typing.get_type_hints(fn, include_extras=True)
    except (NameError, TypeError) as error:
        raise location.compile_error(
            f"cannot evaluate the annotations of flow {flow.name!r} ({error})",
            "import their names at run time, not under TYPE_CHECKING",
        ) from error
    return {
        name: _read(flow, parameter, hints.get(name, inspect.Parameter.empty), location)
        for name, parameter in flow.signature.parameters.items()
    }


def _read(flow: FlowFunction, parameter: inspect.Parameter, hint: Any, location: CodeLocation) -> FlowParam:
    name = parameter.name
    if parameter.kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        stars = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else "**"
        raise location.compile_error(
            f"{stars}{name} of flow {flow.name!r} cannot be a param",
            f"name each parameter, or use one {'list' if stars == '*' else 'dictionary'}",
        )
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", name):
        raise location.compile_error(
            f"invalid name of a param: {name!r}", "use at most 63 letters, digits and underscores"
        )
    default = default_of(parameter)
    has_default = default is not inspect.Parameter.empty
    hint, is_optional = _without_none(hint)
    if has_default and default is None:
        has_default, is_optional = False, True
    if hint is inspect.Parameter.empty:
        if not has_default or type(default) not in {*PLAIN, float}:
            raise location.compile_error(
                f"parameter {name!r} of flow {flow.name!r} has no annotation", f"add its type: {name}: str"
            )
        hint = type(default)
    if is_field(parameter.default) and parameter.default.metadata:
        hint = Annotated[hint, *parameter.default.metadata]
    schema, is_converted, element = _schema(flow, name, hint, location)
    manifest: dict[str, Any] = {"name": name, **schema}
    if has_default:
        made = _default(flow, name, hint, default, location) if is_converted else default
        for what, advice in (*_faults(made), *_faults_of_type(schema["type"], made)):
            raise location.compile_error(f"the default of parameter {name!r} of flow {flow.name!r} {what}", advice)
        manifest["default"] = made
    elif is_optional:
        # Kubernetes drops null values.
        manifest["required"] = False
    is_settled = default is not inspect.Parameter.empty
    return FlowParam(manifest, manifest["type"] == "array", is_converted, element, is_settled)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Return an annotation without None, and whether it included None."""
    if typing.get_origin(hint) not in {typing.Union, types.UnionType}:
        return hint, False
    kinds = typing.get_args(hint)
    others = tuple(kind for kind in kinds if kind is not type(None))
    return (typing.Union[others] if others else hint), len(others) < len(kinds)  # noqa: UP007 - made at run time


def _schema(
    flow: FlowFunction, name: str, hint: Any, location: CodeLocation
) -> tuple[dict[str, Any], bool, str | None]:
    """Return type and bounds, whether values are converted, and the type of elements."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in PLAIN:
        return {"type": PLAIN[hint]}, False, None
    if origin is list and len(arguments) == 1 and arguments[0] in {str, int, bool}:
        return {"type": "array"}, False, arguments[0].__name__
    if origin is dict and arguments == (str, Any):
        return {"type": "object"}, False, None
    if hint is float:
        return {"type": "number"}, True, None
    return _from_schema(flow, name, hint, location), True, None


def _from_schema(flow: FlowFunction, name: str, hint: Any, location: CodeLocation) -> dict[str, Any]:
    """Return the JSON schema of the annotation, from pydantic."""
    import pydantic  # noqa: PLC0415 - flows of plain types start faster

    try:
        adapter: Any = pydantic.TypeAdapter(hint)
        schema = adapter.json_schema()
        if "type" not in _followed(schema, schema):
            # A type that is read from several kinds of values, such as Decimal, is written as one.
            schema = adapter.json_schema(mode="serialization")
    except pydantic.errors.PydanticUserError as error:
        raise location.compile_error(
            f"the type of parameter {name!r} of flow {flow.name!r} has no JSON schema ({str(error).splitlines()[0]})",
            "use plain types, and convert them in a task",
        ) from error
    schema = _followed(schema, schema)
    kind = schema.get("type")
    if kind not in _TYPES:
        raise location.compile_error(
            f"parameter {name!r} of flow {flow.name!r} has several types, but a param has one",
            "annotate it with one type",
        )
    manifest: dict[str, Any] = {"type": kind}
    if "enum" in schema or "const" in schema:
        manifest["enum"] = schema.get("enum") or [schema["const"]]
    for word in ("minimum", "maximum"):
        if isinstance(schema.get(word), int):
            manifest[word] = schema[word]
    return manifest


def _followed(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return root["$defs"][reference.rsplit("/", 1)[-1]] if reference else schema


def _default(flow: FlowFunction, name: str, hint: Any, default: Any, location: CodeLocation) -> Any:
    import pydantic  # noqa: PLC0415 - as above

    try:
        with contextlib.suppress(pickle.PicklingError, TypeError, AttributeError):
            pickled_without_secrets(default)
        return pydantic.TypeAdapter(hint).dump_python(default, mode="json", warnings=False)
    except SecretFoundError:
        raise location.compile_error(
            f"the default of parameter {name!r} of flow {flow.name!r} contains a secret",
            "omit it, and load the secret in a task",
        ) from None
    except (ValueError, pydantic.errors.PydanticUserError) as error:
        raise location.compile_error(
            f"the default of parameter {name!r} of flow {flow.name!r} cannot be converted to JSON ({error})",
            "use a value of the annotated type",
        ) from error


def _faults(value: Any) -> Iterator[tuple[str, str]]:
    """Yield why a default cannot be in a manifest, and what to do."""
    match value:
        case float() if not math.isfinite(value):
            yield f"is or contains {value}, which JSON does not have", "use None, and make the number in a task"
        case int() if abs(value) > LARGEST:
            yield (
                f"is or contains {value}, which does not fit into 64 bits",
                "use a text, and make the number in a task",
            )
        case str() if not is_text(value):
            yield "has half of a surrogate pair, which a manifest cannot contain", "make the text in a task"
        case list():
            for each in value:
                yield from _faults(each)
        case dict():
            for key, each in value.items():
                if not isinstance(key, str):
                    yield (
                        f"has the key {key!r}, but keys in JSON are texts",
                        "use texts as keys, and convert them in a task",
                    )
                yield from _faults([key, each])
        case None | bool() | int() | float() | str():
            pass
        case _:
            kind = type(value).__name__
            yield f"is or contains a {kind}, which JSON does not have", "use a list, a dictionary or plain values"


def _faults_of_type(kind: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield that a default does not have the type of its param. A bool is an int for Python alone."""
    is_whole = kind == "integer" and isinstance(value, float) and value.is_integer()
    if not is_whole and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"is {value!r}, but its annotation is of the type {kind}", "change the default, or the annotation"
