"""What a podTemplate may say. What it says beyond that, the API server judges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from penstock.api.names import GROUP
from penstock.engine.path import describe
from penstock.engine.suggestion import suggest
from penstock.errors import Problem

TOP_FIELDS: Final = ("metadata", "spec")
METADATA_FIELDS: Final = ("labels", "annotations")
CONTAINER_FIELDS: Final = ("containers", "initContainers", "ephemeralContainers")


def check_pod_template(template: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Find what is wrong with a podTemplate.

    Args:
        template: the field's value.
        path: its field path.
    """
    yield from _check_fields(template, TOP_FIELDS, path)
    for field in TOP_FIELDS:
        if template.get(field) is not None and not isinstance(template[field], Mapping):
            yield Problem(f"{path}.{field}", f"must be an object, but is {describe(template[field])}")
    metadata, spec = template.get("metadata"), template.get("spec")
    if isinstance(metadata, Mapping):
        yield from _check_metadata(metadata, f"{path}.metadata")
    if isinstance(spec, Mapping):
        yield from _check_spec(spec, f"{path}.spec")


def _check_fields(value: Mapping[str, Any], known: tuple[str, ...], path: str) -> Iterator[Problem]:
    for field in value:
        if field not in known:
            yield Problem(
                f"{path}.{field}", f"there is no such field{suggest(field, known)}: there are {', '.join(known)}"
            )


def _check_metadata(metadata: Mapping[str, Any], path: str) -> Iterator[Problem]:
    yield from _check_fields(metadata, METADATA_FIELDS, path)
    for field in METADATA_FIELDS:
        entries = metadata.get(field)
        if entries is None:
            continue
        if not isinstance(entries, Mapping):
            yield Problem(f"{path}.{field}", f"must be an object, but is {describe(entries)}")
            continue
        for key, value in entries.items():
            if key.partition("/")[0] == GROUP:
                yield Problem(f"{path}.{field}[{key}]", f"{field} of {GROUP}/ are Penstock's own: choose another name")
            if not isinstance(value, str):
                yield Problem(f"{path}.{field}[{key}]", f"must be a string, but is {describe(value)}: put it in quotes")


def _check_spec(spec: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if spec.get("restartPolicy") not in (None, "Never"):
        yield Problem(f"{path}.restartPolicy", "is always Never, for each attempt is a Pod of its own: see retry")
    for field in CONTAINER_FIELDS:
        containers = spec.get(field)
        if containers is None:
            continue
        if not isinstance(containers, list):
            yield Problem(f"{path}.{field}", f"must be a list, but is {describe(containers)}")
            continue
        for index, container in enumerate(containers):
            if (
                not isinstance(container, Mapping)
                or not isinstance(container.get("name"), str)
                or not container["name"]
            ):
                yield Problem(
                    f"{path}.{field}[{index}].name",
                    "is missing: containers are merged by name, and main is the task's own",
                )
