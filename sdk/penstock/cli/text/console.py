"""The terminal with styles: what is shown passes here, and what could drive a terminal is replaced.

With `echo` this is the only way to a terminal: the linter refuses `print`, and rich's Console and Text, everywhere else
in the command line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import rich.console
import rich.text
from rich.segment import Segment

from penstock.printable import make_printable


class Text(rich.text.Text):
    """Text with styles, of which nothing but the styles reaches the terminal as control characters."""

    def __init__(self, text: str = "", style: Any = "", **options: Any) -> None:
        super().__init__(make_printable(text), style, **options)

    def append(self, text: Any, style: Any = None) -> Text:
        """Append text."""
        super().append(make_printable(text) if isinstance(text, str) else text, style)
        return self


class Console(rich.console.Console):
    """Standard output, or standard error. It replaces what could drive the terminal in anything that is shown.

    Args:
        is_error: whether it is standard error.
    """

    def __init__(self, *, is_error: bool = False, **options: Any) -> None:
        super().__init__(stderr=is_error, highlight=False, markup=False, emoji=False, **options)

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render anything: the parts of tables, panels and live displays come here too."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(make_printable(segment.text), segment.style)
