"""The environment variables of a Pod's container, with their sources resolved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from penstock.local.pods.downward_api import field_value
from penstock.local.pods.manifest_objects import MissingObjectError, Objects
from penstock.local.pods.variable_expansion import expand

_SOURCES: Final = (("configMapRef", "ConfigMap"), ("secretRef", "Secret"))


def container_environment(pod: Mapping[str, Any], container: Mapping[str, Any], objects: Objects) -> dict[str, str]:
    """Return the variables of a container, in the order in which Kubernetes sets them.

    Args:
        pod: the Pod.
        container: the container.
        objects: the objects that it may refer to.

    Raises:
        MissingObjectError: a source does not exist; the message names the variable.
    """
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        variables |= _all_of(source, objects)
    for entry in container.get("env") or ():
        name = entry["name"]
        if entry.get("valueFrom") is None:
            variables[name] = expand(entry.get("value") or "", variables)
            continue
        try:
            value = _from(pod, entry["valueFrom"], objects)
        except MissingObjectError as error:
            raise MissingObjectError(f"env {name}: {error}") from error
        if value is not None:
            variables[name] = value
    return variables


def _all_of(source: Mapping[str, Any], objects: Objects) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for field, kind in _SOURCES:
        if source.get(field) is not None:
            reference = source[field]
            data = objects.data_of(kind, str(reference.get("name")), is_optional=bool(reference.get("optional")))
            return {f"{prefix}{key}": value.decode(errors="replace") for key, value in data.items()}
    return {}


def _from(pod: Mapping[str, Any], source: Mapping[str, Any], objects: Objects) -> str | None:
    if source.get("configMapKeyRef") is not None:
        return objects.value_of("ConfigMap", source["configMapKeyRef"])
    if source.get("secretKeyRef") is not None:
        return objects.value_of("Secret", source["secretKeyRef"])
    if source.get("fieldRef") is not None:
        return field_value(pod, str(source["fieldRef"].get("fieldPath")))
    raise MissingObjectError(
        f"{', '.join(source) or 'an empty valueFrom'} is not supported on this machine: set a value"
    )
