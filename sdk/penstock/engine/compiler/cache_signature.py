"""The signature of a cached task: it changes when what the task does changes, so that older outputs are not reused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

from penstock.api.base import ApiModel
from penstock.api.flow import Task, TaskDefaults
from penstock.api.flow_defaults import FlowDefaultsSpec

SIGNATURE_FIELDS: Final = (
    "image",
    "command",
    "args",
    "script",
    "env",
    "outputs",
    "pod_template",
    "service_account_name",
)
"""Fields that decide what a container does: part of every key of its cache."""
ADDED_FIELDS: Final = frozenset({"env", "pod_template"})
"""Those of them for which the defaults count beside the task's own value."""


def cache_signature(task: Task, defaults: TaskDefaults, inherited: Iterable[FlowDefaultsSpec] = ()) -> str:
    """Return a digest of what a container task does.

    Args:
        task: the task.
        defaults: its Flow's.
        inherited: the defaults below those, the last one first.
    """
    merged: dict[str, list[Any]] = {}
    for source in (*inherited, defaults, task):
        for field in SIGNATURE_FIELDS:
            value = getattr(source, field, None)
            if value is None:
                continue
            parts = [
                one.model_dump(mode="json") if isinstance(one, ApiModel) else one
                for one in (value if isinstance(value, list) else [value])
            ]
            merged[field] = [*merged.get(field, []), parts] if field in ADDED_FIELDS else [parts]
    return hashlib.sha256(json.dumps(merged, sort_keys=True).encode()).hexdigest()
