"""Entries of the status: what is not known is left out, not null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def known(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}
