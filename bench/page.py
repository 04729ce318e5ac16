"""Pages of the documentation that hold what was measured, between two marks."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


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


def machine(rounds: int) -> str:
    """Say in a line what it was measured on."""
    load = os.getloadavg()[0]
    return f"Python {platform.python_version()}, {os.cpu_count()} CPUs, load {load:.1f} at the end, {rounds} rounds"
