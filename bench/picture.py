"""Pictures of what was measured: groups of bars, each group on a scale of its own, as SVG."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH = 860
BAR_HEIGHT = 15
BAR_STEP = 20
BAR_START = 290
BAR_LENGTH = 330
PADDING = 22
LEGEND_STEP = 160


class Bar(NamedTuple):
    """One of a group."""

    name: str
    """As in the legend."""
    values: Sequence[float]
    """One a round: the bar is as long as the median, and a line goes from the least to the most."""
    text: str


class Group(NamedTuple):
    """Bars that are compared."""

    title: str
    subtitle: str
    bars: Sequence[Bar]

    @property
    def height(self) -> int:
        """In pixels."""
        return max(2, len(self.bars)) * BAR_STEP + PADDING


def draw(title: str, groups: Sequence[Group], *, colours: dict[str, str], footnote: str) -> str:
    """Draw groups of bars.

    Args:
        title: for who can't see it.
        groups: from top to bottom.
        colours: by the names of the bars, in the order of the legend.
        footnote: what else there is to say.

    Returns:
        The SVG.
    """
    return "\n".join(_draw(title, groups, colours, footnote)) + "\n"


def _draw(title: str, groups: Sequence[Group], colours: dict[str, str], footnote: str) -> Iterator[str]:
    height = 76 + sum(group.height for group in groups)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="DejaVu Sans, Verdana, Arial, sans-serif" font-size="12">'
    )
    yield f"<title>{escape(title)}</title>"
    yield f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    for number, (name, colour) in enumerate(colours.items()):
        x = 24 + number * LEGEND_STEP
        yield f'<rect x="{x}" y="18" width="14" height="14" rx="3" fill="{colour}"/>'
        yield f'<text x="{x + 21}" y="29" fill="#222">{escape(name)}</text>'
    top = 58
    for group in groups:
        yield from _group(group, top, colours)
        top += group.height
    yield f'<text x="24" y="{height - 10}" fill="#666" font-size="11">{escape(footnote)}</text>'
    yield "</svg>"


def _group(group: Group, top: int, colours: dict[str, str]) -> Iterator[str]:
    yield f'<text x="24" y="{top + 13}" font-weight="bold" fill="#222">{escape(group.title)}</text>'
    yield f'<text x="24" y="{top + 31}" fill="#666">{escape(group.subtitle)}</text>'
    longest = max(max(bar.values) for bar in group.bars)
    for number, bar in enumerate(group.bars):
        y = top + number * BAR_STEP
        median, least, most = (
            value / longest * BAR_LENGTH for value in (statistics.median(bar.values), min(bar.values), max(bar.values))
        )
        colour = colours[bar.name]
        yield f'<rect x="{BAR_START}" y="{y}" width="{max(1.0, median):.1f}" height="{BAR_HEIGHT}" fill="{colour}"/>'
        yield (
            f'<path d="M{BAR_START + least:.1f} {y + BAR_HEIGHT / 2} H{BAR_START + most:.1f}" '
            'stroke="#222" stroke-width="1.5" fill="none"/>'
        )
        yield f'<text x="{BAR_START + most + 10:.1f}" y="{y + 12}" fill="#222">{escape(bar.text)}</text>'
