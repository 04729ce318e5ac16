"""Runs whose objects are large: while they wait, only a part of each is kept. Thousands may wait.

A run's spec has up to 1 MiB of params or of an inline Flow, and takes several times that when it is decoded.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from penstock.kube.kinds.flow_run import FlowRun

LARGE_BYTES: Final = 16 << 10
LARGE_FIELDS: Final = ("params", "flowSpec")
"""Of a spec; they are not needed before the run starts."""
VALUE_BYTES: Final = 32
"""Of a value besides its text, about."""


def is_large(found: FlowRun) -> bool:
    """Whether a run's params and inline Flow take much memory."""
    left: list[Any] = [found.spec.get(name) for name in LARGE_FIELDS]
    size_bytes = 0
    while left and size_bytes <= LARGE_BYTES:
        value = left.pop()
        size_bytes += VALUE_BYTES
        if isinstance(value, str):
            size_bytes += len(value)
        elif isinstance(value, list):
            size_bytes += VALUE_BYTES * len(value)
            left += value
        elif isinstance(value, dict):
            size_bytes += sum(map(len, value))
            left += value.values()
    return size_bytes > LARGE_BYTES


def without_large_fields(found: FlowRun) -> FlowRun:
    """Return what is kept of a run that waits."""
    spec = {name: value for name, value in found.spec.items() if name not in LARGE_FIELDS}
    return msgspec.structs.replace(found, spec=spec)
