"""Validation of flow parameters: checked against annotations, and converted."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Final

from penstock.authoring.arguments.field_default import default_of, is_field
from penstock.authoring.function import FlowFunction
from penstock.errors import ParameterError

_PLAIN: Final = frozenset({bool, int, float, str, bytes, list, dict, tuple, set, frozenset})
"""Types that are checked without pydantic, which takes 100 ms to import."""
_COLLECTIONS: Final = frozenset({list, dict, set})
_OLD: Final = "pydantic.v1"
_WORDS: Final = {each.__name__: each for each in _PLAIN} | {"Any": Any, "object": object}


def validate_parameters(flow: FlowFunction, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Validate and convert parameters.

    Args:
        flow: the flow.
        parameters: its arguments by name, as they were given.

    Returns:
        The converted arguments by name.

    Raises:
        ParameterError: some do not match their annotations; the message lists all of them.
    """
    open_questions = [
        name
        for name, parameter in flow.signature.parameters.items()
        if name in parameters
        and not _is_default_none(parameter, parameters[name])
        and (is_field(parameter.default) or not _fits(parameter.annotation, parameters[name]))
    ]
    # As pydantic does: the flow's function may change its own list, and not that of its caller or its default.
    given = {
        name: value.copy() if type(value) in _COLLECTIONS and _is_annotated(flow.signature.parameters[name]) else value
        for name, value in parameters.items()
    }
    if not open_questions:
        return given
    return {**given, **_validated(flow, {name: parameters[name] for name in open_questions})}


def _is_annotated(parameter: inspect.Parameter) -> bool:
    return parameter.annotation not in {inspect.Parameter.empty, Any, object, "Any", "object"}


def _is_default_none(parameter: inspect.Parameter, value: Any) -> bool:
    """Whether the value is None, and so is the default: `day: date = None` means that it may be None."""
    return value is None and parameter.default is None


def _fits(annotation: Any, value: Any) -> bool:
    if annotation is inspect.Parameter.empty or annotation is Any or annotation is object:
        return True
    if isinstance(annotation, str):
        # With `from __future__ import annotations`, most of them are simple names.
        if annotation not in _WORDS:
            return False
        annotation = _WORDS[annotation]
        if annotation is Any or annotation is object:
            return True
    return annotation in _PLAIN and type(value) is annotation


def _validated(flow: FlowFunction, parameters: Mapping[str, Any]) -> dict[str, Any]:
    fn = inspect.unwrap(flow.fn)
    fn = getattr(fn, "__func__", fn)
    hints = _hints(fn)
    converted: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in parameters.items():
        kind = flow.signature.parameters[name].kind
        annotation = hints.get(name, Any)
        default = flow.signature.parameters[name].default
        if is_field(default):
            annotation = Annotated[annotation, default]
            if value is default or value is None:
                made = default_of(flow.signature.parameters[name])
                if made is None:
                    converted[name] = None  # as for `day: date = None`
                    continue
                if value is default and made is not inspect.Parameter.empty:
                    value = made  # noqa: PLW2901 - it is one from here on
        if kind is inspect.Parameter.VAR_POSITIONAL:
            annotation = tuple[annotation, ...]  # type: ignore[valid-type]  # made at run time
        elif kind is inspect.Parameter.VAR_KEYWORD:
            annotation = dict[str, annotation]  # type: ignore[valid-type]  # made at run time
        try:
            converted[name] = _converted(annotation, value)
        except _errors() as error:
            problems += [_problem(name, value, each) for each in error.errors()]
    if problems:
        raise ParameterError(f"Flow run received invalid parameters: {'; '.join(problems)}")
    return converted


def _problem(name: str, value: Any, error: Mapping[str, Any]) -> str:
    path = ".".join(str(part) for part in (name, *error["loc"]) if part != "__root__")
    return f"{path}: {error['msg']} (got {_short(error.get('input', value))})"


def _hints(fn: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except (NameError, TypeError) as error:
        # Names for type checkers only cannot be checked at run time.
        module = sys.modules.get(fn.__module__)
        known = {**vars(typing), **(vars(module) if module else {})}
        hints = {}
        for name, annotation in getattr(fn, "__annotations__", {}).items():
            try:
                hints[name] = eval(annotation, known) if isinstance(annotation, str) else annotation  # noqa: S307 - the flow's own text
            except Exception:  # noqa: BLE001 - not a type that can be checked
                hints[name] = Any
        del error
        return hints


def _converted(annotation: Any, value: Any) -> Any:
    import pydantic  # noqa: PLC0415 - see _PLAIN

    if _has_old_model(annotation):
        from pydantic import v1  # noqa: PLC0415 - for the models of programs that use it

        return v1.parse_obj_as(annotation, value)
    adapter: Any
    try:
        # Classes that pydantic does not know are checked by isinstance.
        adapter = pydantic.TypeAdapter(annotation, config=pydantic.ConfigDict(arbitrary_types_allowed=True))
    except pydantic.PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        adapter = pydantic.TypeAdapter(annotation)  # models have their own configuration
    return adapter.validate_python(value)


def _errors() -> tuple[type[Any], ...]:
    """Return the errors of validation: those of old models, if the program has any."""
    import pydantic  # noqa: PLC0415 - see _PLAIN

    old = sys.modules.get(_OLD)
    return (pydantic.ValidationError,) if old is None else (pydantic.ValidationError, old.ValidationError)


def _has_old_model(annotation: Any) -> bool:
    """Whether an annotation has a model of `pydantic.v1`, which pydantic 2 does not validate."""
    old = sys.modules.get(_OLD)
    if old is None:
        return False
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return issubclass(annotation, old.BaseModel)
    return any(map(_has_old_model, typing.get_args(annotation)))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - what is read at a glance
