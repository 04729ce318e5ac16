"""Params of a Flow, from the signature of the flow's function."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from penstock.authoring.compilation.place import Place
from penstock.authoring.function import FlowFunction

PLAIN: Final[Mapping[Any, str]] = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}
"""Annotations whose values a run's params already are."""
_SCHEMA_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "array", "object"})


class FlowParam(NamedTuple):
    """A param."""

    manifest: dict[str, Any]
    is_list: bool
    is_converted: bool
    """Whether the flow's annotation makes something else of it than what JSON has."""
    element: str | None = None
    """The plain type of a list's elements, if they have one."""

    @property
    def expression(self) -> str:
        """An expression for its value; null where it is left out."""
        name = self.manifest["name"]
        return f"params.?{name}.orValue(null)" if "required" in self.manifest else f"params.{name}"


def read_params(flow: FlowFunction, place: Place) -> dict[str, FlowParam]:
    """Read the params of a flow, by name.

    Raises:
        CompileError: a parameter can't be a param.
    """
    fn = inspect.unwrap(flow.fn)
    try:
        hints = typing.get_type_hints(fn, include_extras=True)
    except (NameError, TypeError) as error:
        raise place.refuse(
            f"the annotations of flow {flow.name!r} can't be read ({error})",
            "import at run time what they name: not under TYPE_CHECKING",
        ) from error
    return {
        name: _read(flow, parameter, hints.get(name, inspect.Parameter.empty), place)
        for name, parameter in flow.signature.parameters.items()
    }


def _read(flow: FlowFunction, parameter: inspect.Parameter, hint: Any, place: Place) -> FlowParam:
    name = parameter.name
    if parameter.kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        raise place.refuse(f"*{name} of flow {flow.name!r} can't be a param", "name each parameter, or take one list")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", name):
        raise place.refuse(f"{name!r} can't name a param", "use at most 63 letters, digits and underscores")
    has_default = parameter.default is not inspect.Parameter.empty
    hint, is_optional = _without_none(hint)
    if has_default and parameter.default is None:
        has_default, is_optional = False, True
    if hint is inspect.Parameter.empty:
        if not has_default or type(parameter.default) not in {*PLAIN, float}:
            raise place.refuse(f"{name!r} of flow {flow.name!r} has no annotation", f"write its type: {name}: str")
        hint = type(parameter.default)
    schema, is_converted, element = _schema(flow, name, hint, place)
    manifest: dict[str, Any] = {"name": name, **schema}
    if has_default:
        default = parameter.default
        manifest["default"] = _default(flow, name, hint, default, place) if is_converted else default
    elif is_optional:
        # To Kubernetes a null is what is not given.
        manifest["required"] = False
    return FlowParam(manifest, manifest["type"] == "array", is_converted, element)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Return an annotation without None, and whether that was part of it."""
    if typing.get_origin(hint) not in {typing.Union, types.UnionType}:
        return hint, False
    kinds = typing.get_args(hint)
    others = tuple(kind for kind in kinds if kind is not type(None))
    return (typing.Union[others] if others else hint), len(others) < len(kinds)  # noqa: UP007 - made at run time


def _schema(flow: FlowFunction, name: str, hint: Any, place: Place) -> tuple[dict[str, Any], bool, str | None]:
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
    return _from_schema(flow, name, hint, place), True, None


def _from_schema(flow: FlowFunction, name: str, hint: Any, place: Place) -> dict[str, Any]:
    """Ask pydantic what JSON the annotation takes."""
    import pydantic  # noqa: PLC0415 - flows of plain types start faster

    try:
        schema = pydantic.TypeAdapter(hint).json_schema()
    except pydantic.errors.PydanticUserError as error:
        raise place.refuse(
            f"the type of {name!r} of flow {flow.name!r} has no JSON ({str(error).splitlines()[0]})",
            "take plain types, and make it of them inside a task",
        ) from error
    schema = _followed(schema, schema)
    kind = schema.get("type")
    if kind not in _SCHEMA_TYPES:
        raise place.refuse(
            f"{name!r} of flow {flow.name!r} can be of several types, but a param has one",
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


def _default(flow: FlowFunction, name: str, hint: Any, default: Any, place: Place) -> Any:
    import pydantic  # noqa: PLC0415 - as above

    try:
        return pydantic.TypeAdapter(hint).dump_python(default, mode="json")
    except (ValueError, pydantic.errors.PydanticUserError) as error:
        raise place.refuse(
            f"the default of {name!r} of flow {flow.name!r} has no JSON ({error})", "give one of the annotated type"
        ) from error
