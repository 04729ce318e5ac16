"""Kubernetes' extensions of JSON Schema, as marks on the models and their fields.

A mark stands in an `Annotated[...]` and adds `x-kubernetes-...` keys to the schema that pydantic generates. Their
meaning: https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy (lists and maps) and
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Mark:
    """Keys to add to the schema of the annotated type.

    Args:
        keys: the keys and their values.
    """

    keys: dict[str, Any] = field(hash=False)

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return pydantic's own schema and the keys."""
        return {**handler(core_schema), **self.keys}


class Rule(NamedTuple):
    """A validation rule in CEL, checked by the API server on every write."""

    rule: str
    """The rule; `self` is the value that carries it, `oldSelf` the value before the write."""
    message: str
    """What is wrong and what to do, for the person who wrote the object."""
    field_path: str | None = None
    """Path of the invalid field, relative to the value that carries the rule, if it is not that value: `.name`."""

    def to_schema(self) -> dict[str, str]:
        """Return the rule as an element of `x-kubernetes-validations`."""
        schema = {"rule": self.rule, "message": self.message}
        return schema if self.field_path is None else {**schema, "fieldPath": self.field_path}


def map_list(key: str) -> Mark:
    """Mark a list whose elements are identified by a unique field; field managers own elements, not the list.

    Args:
        key: the field, as spelled in the object.
    """
    return Mark({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]})


SET: Final = Mark({"x-kubernetes-list-type": "set"})
"""A list of distinct values; field managers own values, not the list."""
ATOMIC_LIST: Final = Mark({"x-kubernetes-list-type": "atomic"})
"""A list that is replaced as a whole."""
ATOMIC_MAP: Final = Mark({"x-kubernetes-map-type": "atomic"})
"""An object that is replaced as a whole. The API server then stores no owners of its single fields."""
UNRULED: Final = "x-penstock-unruled"
UNRULED_WHOLE: Final = Mark({**ATOMIC_MAP.keys, UNRULED: True})
"""An object that is replaced as a whole, and in which no rule is checked and no list is merged.

For a large part of an object whose status changes often: the API server checks every rule on every status patch.
"""
