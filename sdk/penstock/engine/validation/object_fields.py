"""The fields around a spec that every Kubernetes object has, checked as the API server does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from penstock.api.kind import KINDS
from penstock.engine.expressions.path import describe
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import Problem

FIELDS: Final = ("apiVersion", "kind", "metadata", "spec", "status")
METADATA_TEXTS: Final = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
)
METADATA_MAPS: Final = ("labels", "annotations")
METADATA_LISTS: Final = ("finalizers", "ownerReferences", "managedFields")
METADATA_NUMBERS: Final = ("generation", "deletionGracePeriodSeconds")
METADATA_FIELDS: Final = (*METADATA_TEXTS, *METADATA_MAPS, *METADATA_LISTS, *METADATA_NUMBERS)
"""Of `metav1.ObjectMeta`: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/."""
MAX_NAME: Final = 253
_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
"""A DNS subdomain: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/."""


def check_envelope(obj: Mapping[str, Any]) -> list[Problem]:
    """Find what is wrong with an object outside of its spec.

    Args:
        obj: the whole object, as JSON has it; of one of our kinds.
    """
    longest = next((kind.max_name for kind in KINDS if kind.name == obj.get("kind")), MAX_NAME)
    problems = [_unknown(field, field, FIELDS) for field in obj if field not in FIELDS]
    metadata = obj.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        return [*problems, Problem("metadata", f"must be an object; got {describe(metadata)}")]
    return [*problems, *_check_metadata(metadata or {}, longest)]


def _check_metadata(metadata: Mapping[str, Any], longest: int) -> Iterator[Problem]:
    for field, value in metadata.items():
        path = f"metadata.{field}"
        if field not in METADATA_FIELDS:
            yield _unknown(path, field, METADATA_FIELDS)
        elif value is None:
            continue
        elif field in METADATA_TEXTS:
            yield from _check_text(path, value)
            if field == "name" and isinstance(value, str) and value:
                yield from _check_name(path, value, longest)
        elif field in METADATA_MAPS:
            yield from _check_texts(path, value)
        elif field in METADATA_LISTS and not isinstance(value, list):
            yield Problem(path, f"must be a list; got {describe(value)}")
        elif field in METADATA_NUMBERS and (isinstance(value, bool) or not isinstance(value, int)):
            yield Problem(path, f"must be a whole number; got {describe(value)}")


def _check_name(path: str, name: str, longest: int) -> Iterator[Problem]:
    if _NAME.fullmatch(name) is None:
        must = "be lower-case letters, digits, hyphens and dots, a letter or digit at both ends"
        yield Problem(path, f"must {must}; got {describe(name)}")
    elif len(name) > longest:
        yield Problem(path, f"has {len(name)} characters: at most {longest} are allowed")


def _check_texts(path: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(path, f"must be an object; got {describe(value)}")
        return
    for name, text in value.items():
        if text is not None:
            yield from _check_text(f"{path}.{name}", text)


def _check_text(path: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, str):
        hint = ": put it in quotes" if isinstance(value, bool | int | float) else ""
        yield Problem(path, f"must be a string; got {describe(value)}{hint}")


def _unknown(path: str, field: str, known: tuple[str, ...]) -> Problem:
    return Problem(path, f"unknown field{suggest(field, known)}; known fields: {enumerate_names(known)}")
