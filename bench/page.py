"""Pages of the documentation that hold what was measured, between two marks."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

ROUND_FROM = 100
"""Numbers from here on are shown without decimals."""


def put(page: Path, name: str, text: str) -> None:
    """Put what was measured in place of what was measured before.

    Args:
        page: the Markdown file.
        name: of the place, as in its marks: `<!-- NAME -->` and `<!-- end of NAME -->`.
        text: Markdown.

    Raises:
        ValueError: the page has no such place.
    """
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.escape(first) + ".*?" + re.escape(last)
    text, count = re.subn(pattern, lambda _: f"{first}\n{text}\n{last}", page.read_text(), flags=re.DOTALL)
    if not count:
        raise ValueError(f"{page} has no {first}")
    page.write_text(text)


def rows(found: Sequence[Mapping[str, float | str]]) -> str:
    """Return a Markdown table: a row for each, a column for each key of the first."""
    columns = list(found[0])
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for one in found:
        cells = [str(one[name]) if isinstance(one[name], str) else _number(float(one[name])) for name in columns]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= ROUND_FROM else f"{value:,.2f}"


def machine(rounds: int) -> str:
    """Say in a line what it was measured on."""
    load, repeated = os.getloadavg()[0], "1 round" if rounds == 1 else f"{rounds} rounds"
    return f"Python {platform.python_version()}, {os.cpu_count()} CPUs, load {load:.1f} at the end, {repeated}"
