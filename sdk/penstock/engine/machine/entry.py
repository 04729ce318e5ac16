"""Entries of the status: unknown fields are omitted, not null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def known(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}
