"""JSON merge patches, applied here as the API server applies them: https://www.rfc-editor.org/rfc/rfc7386."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)


def apply_merge_patch(stored: S, patch: Mapping[str, Any]) -> S:
    """Return an object, or a part of one, as it is after a merge patch.

    Args:
        stored: what it is now.
        patch: fields by their names in JSON; None removes one.
    """
    return msgspec.convert(_merge(msgspec.to_builtins(stored), msgspec.to_builtins(patch)), type(stored))


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged
