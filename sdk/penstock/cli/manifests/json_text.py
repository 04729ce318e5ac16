"""Writes JSON that any terminal shows and any program reads."""

from __future__ import annotations

import json
from typing import Any

from penstock.printable import escape_unprintable


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """Return a value as JSON; what could drive a terminal is escaped."""
    return escape_unprintable(json.dumps(value, indent=indent, ensure_ascii=False))
