"""Tables of text with aligned columns, as kubectl prints them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.cli.text.console import Text
from penstock.drawing.state_styles import state_style

GAP = 3
STATE_HEADING = "STATE"
"""The column whose cells are colored."""


def format_lines(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[Text]:
    """Align the cells of a table.

    Args:
        headings: the first line.
        rows: the cells of the other lines.
    """
    lines = [[" ".join(cell.split()) for cell in line] for line in (headings, *rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(headings))]
    for number, line in enumerate(lines):
        text = Text()
        for place, cell in enumerate(line):
            text.append(cell, state_style(cell).style if number and headings[place] == STATE_HEADING else "")
            text.append(" " * (widths[place] - len(cell) + GAP))
        text.rstrip()
        yield text
