"""Strategic merge of a user's podTemplate into a generated Pod.

The rules are those of the API server for core types: maps merge, lists with a merge key merge by that key, other
lists are replaced, null deletes, `$patch: delete` and `$patch: replace` direct a map or a list's entry.
Source: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/ and the
`patchMergeKey` tags of `k8s.io/api/core/v1`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

DIRECTIVE: Final = "$patch"

MERGE_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "resizePolicy": "resourceName",
    "volumes": "name",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "schedulingGates": "name",
    "resourceClaims": "name",
    "claims": "name",
}
"""Lists of a Pod's spec that merge by key. Tolerations, args and the rest are replaced whole."""

PRIMITIVE_LISTS: Final = frozenset({"finalizers"})
"""Lists of strings that merge as sets."""


def strategic_merge(original: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return `original` with `patch` merged over it; neither is changed.

    Args:
        original: a Pod, or a part of one.
        patch: the changes.
    """
    if patch.get(DIRECTIVE) == "replace":
        return {name: value for name, value in patch.items() if name != DIRECTIVE}
    merged = dict(original)
    for name, value in patch.items():
        if name == DIRECTIVE:
            continue
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            before = merged.get(name)
            merged[name] = strategic_merge(before if isinstance(before, Mapping) else {}, value)
        elif isinstance(value, list) and name in MERGE_KEYS:
            merged[name] = _merge_list(merged.get(name) or [], value, MERGE_KEYS[name])
        elif isinstance(value, list) and name in PRIMITIVE_LISTS:
            merged[name] = list(dict.fromkeys([*(merged.get(name) or []), *value]))
        else:
            merged[name] = value
    return merged


def _merge_list(original: list[Any], patch: list[Any], key: str) -> list[Any]:
    entries = [entry for entry in patch if not (isinstance(entry, Mapping) and set(entry) == {DIRECTIVE})]
    if len(entries) < len(patch):
        return entries
    merged = list(original)
    for entry in entries:
        if not isinstance(entry, Mapping) or key not in entry:
            merged.append(entry)
            continue
        position = next(
            (at for at, known in enumerate(merged) if isinstance(known, Mapping) and known.get(key) == entry[key]), None
        )
        if entry.get(DIRECTIVE) == "delete":
            if position is not None:
                del merged[position]
        elif position is None:
            merged.append(strategic_merge({}, entry))
        else:
            merged[position] = strategic_merge(merged[position], entry)
    return merged
