"""Validation of flow parameters: checked against annotations, and converted."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Mapping
from typing import Any, Final

from penstock.authoring.function import FlowFunction
from penstock.errors import ParameterError

_PLAIN: Final = frozenset({bool, int, float, str, bytes, list, dict, tuple, set, frozenset})
"""Types that are checked without pydantic, which takes 100 ms to import."""
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
        and not _fits(parameter.annotation, parameters[name])
    ]
    if not open_questions:
        return dict(parameters)
    return {**parameters, **_validated(flow, {name: parameters[name] for name in open_questions})}


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
    import pydantic  # noqa: PLC0415 - see _PLAIN

    fn = inspect.unwrap(flow.fn)
    fn = getattr(fn, "__func__", fn)
    hints = _hints(fn)
    converted: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in parameters.items():
        kind = flow.signature.parameters[name].kind
        annotation = hints.get(name, Any)
        if kind is inspect.Parameter.VAR_POSITIONAL:
            annotation = tuple[annotation, ...]  # type: ignore[valid-type]  # made at run time
        elif kind is inspect.Parameter.VAR_KEYWORD:
            annotation = dict[str, annotation]  # type: ignore[valid-type]  # made at run time
        try:
            adapter: Any = pydantic.TypeAdapter(annotation, config=_config(annotation))
            converted[name] = adapter.validate_python(value)
        except pydantic.ValidationError as error:
            problems += [
                f"{'.'.join(map(str, (name, *each['loc'])))}: {each['msg']} (got {_short(each['input'])})"
                for each in error.errors()
            ]
    if problems:
        raise ParameterError(f"Validation of flow parameters failed: {'; '.join(problems)}")
    return converted


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


def _config(annotation: Any) -> Any:
    """Check classes that pydantic does not know by isinstance; models have their own configuration."""
    import dataclasses  # noqa: PLC0415

    import pydantic  # noqa: PLC0415

    has_own = isinstance(annotation, type) and (
        issubclass(annotation, pydantic.BaseModel)
        or dataclasses.is_dataclass(annotation)
        or typing.is_typeddict(annotation)
    )
    return None if has_own else pydantic.ConfigDict(arbitrary_types_allowed=True)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - what is read at a glance
