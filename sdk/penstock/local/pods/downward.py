"""What a Pod knows of itself: `fieldRef`, as far as there is such a thing on this machine."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Any, Final

from penstock.local.pods.objects import MissingObjectError

_ENTRY: Final = re.compile(r"metadata\.(?P<map>labels|annotations)\['(?P<key>[^']+)'\]")
ADDRESS: Final = "127.0.0.1"


def field_value(pod: Mapping[str, Any], path: str) -> str:
    """Return what a `fieldRef` refers to.

    Args:
        pod: the Pod.
        path: the field's path.

    Raises:
        MissingObjectError: there is no such field here.
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
        raise MissingObjectError(f"the field {path} of a Pod has no value on this machine")
    return str(values[path])
