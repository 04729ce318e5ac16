"""Defaults that are `pydantic.Field(...)`: each describes a parameter, and may have the default."""

from __future__ import annotations

import inspect
from typing import Any, Final

FIELDS: Final = "pydantic.fields"
"""The module of `Field`, and of the type of what it makes."""


def is_field(default: Any) -> bool:
    """Whether a default is `pydantic.Field(...)`."""
    return type(default).__module__ == FIELDS


def default_of(parameter: inspect.Parameter) -> Any:
    """Return the default of a parameter; `inspect.Parameter.empty` if it has none."""
    field = parameter.default
    if not is_field(field):
        return field
    return inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)
