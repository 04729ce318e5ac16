"""The downward API: the fields of its own Pod that a container may refer to by `fieldRef`."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Any, Final

from penstock.local.pods.manifest_objects import MissingObjectError

_ENTRY: Final = re.compile(r"metadata\.(?P<map>labels|annotations)\['(?P<key>[^']+)'\]")
ADDRESS: Final = "127.0.0.1"


def field_value(pod: Mapping[str, Any], path: str) -> str:
    """Return the value of a `fieldRef`.

    Args:
        pod: the Pod.
        path: the field's path.

    Raises:
        MissingObjectError: the field has no value on this machine.
    """
    metadata = pod["metadata"]
    entry = _ENTRY.fullmatch(path)
    if entry is not None:
        return str((metadata.get(entry["map"]) or {}).get(entry["key"], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries = metadata.get(path.rpartition(".")[2]) or {}
        return "\n".join(f'{name}="{value}"' for name, value in sorted(entries.items()))
    values = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata.get("uid"),
        "spec.nodeName": socket.gethostname(),
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
        "status.podIP": ADDRESS,
        "status.podIPs": ADDRESS,
        "status.hostIP": ADDRESS,
        "status.hostIPs": ADDRESS,
    }
    if values.get(path) is None:
        raise MissingObjectError(f"fieldRef {path} has no value on this machine")
    return str(values[path])
