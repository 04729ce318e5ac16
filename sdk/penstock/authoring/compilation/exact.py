"""Values that the API server keeps exactly."""

from __future__ import annotations

from typing import Any


def is_exact(value: Any) -> bool:
    """Whether the API server keeps a value exactly: it stores 2.0 as 2, and does not keep the order of keys."""
    if isinstance(value, list):
        return all(is_exact(each) for each in value)
    return value is None or type(value) in {bool, int, str}
