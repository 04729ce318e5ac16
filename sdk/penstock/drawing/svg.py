"""Writes a graph as an SVG picture. Pure.

It contains no scripts and fonts, so that GitHub and others render it. The language: https://www.w3.org/TR/SVG11/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final
from xml.sax.saxutils import escape

from penstock.drawing.diagram import Node, group, summarize_states
from penstock.drawing.layout import Box, Grid, Layout, Line, lay_out
from penstock.drawing.mermaid import COLOURS
from penstock.drawing.state_styles import state_style

MARGIN: Final = 24
FONTS: Final = "DejaVu Sans, Verdana, Helvetica, Arial, Liberation Sans, Noto Sans, Open Sans, Roboto, sans-serif"
"""The first available font is used. The PNG renderer has no generic `sans-serif`."""
CHARACTER: Final = 8.0
"""Upper bound for the width of a bold character of 13 pixels; text cannot be measured here."""
MAX_CHARACTERS: Final = 36
"""Per line of a box; the tooltip shows the full text."""
MIN_WIDTH: Final = 130.0
MIN_GROUP_WIDTH: Final = 200.0
INDENT: Final = 18
LINE_HEIGHT: Final = 17
HEADING: Final = 30
BACK: Final = 4
"""Offset of the second box that is drawn behind tasks with several instances."""
STROKES: Final = {
    **dict.fromkeys(("Failed", "TimedOut", "Crashed"), "#b3261e"),
    **dict.fromkeys(("Completed", "Cached"), "#2e7d4f"),
    **dict.fromkeys(("Running",), "#1b7a94"),
    **dict.fromkeys(("Retrying", "Queued", "Paused"), "#946a00"),
    "Cancelled": "#7d3c93",
}
PLAIN_STROKE: Final = "#777"


def write_svg(nodes: Sequence[Node], title: str) -> Iterator[str]:
    """Draw a graph, line by line.

    Args:
        nodes: the graph; if it has states, a legend is added.
        title: the title above it.
    """
    main = [place for place, node in enumerate(nodes) if not node.is_finally]
    last = [place for place, node in enumerate(nodes) if node.is_finally]
    grid = _measure(nodes, has_groups=any(len(members) > 1 for part in (main, last) for members in group(nodes, part)))
    parts = [lay_out(nodes, positions, grid) for positions in (main, last)]
    legend = _legend(nodes)
    width = 2 * MARGIN + BACK + max(*(part.width for part in parts), len(title) * 10, _legend_width(legend))
    tops = [float(MARGIN + HEADING)]
    tops.append(tops[0] + parts[0].height + MARGIN + (HEADING if last else 0))
    bottom = tops[1] + (parts[1].height + MARGIN if last else 0)
    height = bottom + (LINE_HEIGHT + MARGIN if legend else 0)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{FONTS}" font-size="12">'
    )
    yield f"<title>{escape(title)}</title>"
    yield (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#666"/></marker></defs>'
    )
    yield f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>'
    yield f'<text x="{MARGIN}" y="{MARGIN + 8}" font-size="16" font-weight="bold" fill="#222">{escape(title)}</text>'
    yield from _write_part(nodes, parts[0], grid, tops[0])
    if last:
        yield (
            f'<rect x="{MARGIN / 2}" y="{tops[1] - HEADING}" width="{width - MARGIN:.0f}" '
            f'height="{parts[1].height + HEADING + MARGIN / 2:.0f}" rx="8" fill="none" stroke="#999" '
            'stroke-dasharray="5 4"/>'
        )
        yield f'<text x="{MARGIN}" y="{tops[1] - 11}" fill="#666">finally</text>'
        yield from _write_part(nodes, parts[1], grid, tops[1])
    x = float(MARGIN)
    for state, text in legend:
        fill, stroke = COLOURS.get(state, "#fff"), STROKES.get(state, PLAIN_STROKE)
        yield f'<rect x="{x}" y="{bottom}" width="14" height="14" rx="3" fill="{fill}" stroke="{stroke}"/>'
        yield f'<text x="{x + 21}" y="{bottom + 11}" fill="#222">{escape(text)}</text>'
        x += 21 + _text_width(text)
    yield "</svg>"


def _legend(nodes: Sequence[Node]) -> list[tuple[str, str]]:
    counts = Counter(node.state for node in nodes if node.state)
    return [(state, f"{state_style(state).sign} {state} {counts[state]}") for state in COLOURS if state in counts] + [
        (state, f"{state_style(state).sign} {state} {count}") for state, count in counts.items() if state not in COLOURS
    ]


def _legend_width(legend: Sequence[tuple[str, str]]) -> float:
    return sum(21 + _text_width(text) for _, text in legend)


def _text_width(text: str) -> float:
    return len(text) * CHARACTER + 16


def _measure(nodes: Sequence[Node], *, has_groups: bool) -> Grid:
    """Choose sizes that fit every task."""
    texts = [text for node in nodes for text in (node.name, node.note, f"✓ {node.standing}")]
    longest = min(MAX_CHARACTERS, max(len(text) for text in texts))
    rows = 1 + (has_groups or any(node.note for node in nodes)) + any(node.state for node in nodes)
    labels = max((min(MAX_CHARACTERS, len(edge.label)) for node in nodes for edge in node.edges), default=0)
    return Grid(
        box_width=max(MIN_GROUP_WIDTH if has_groups else MIN_WIDTH, longest * CHARACTER + 2 * INDENT),
        box_height=float(rows * LINE_HEIGHT + 15),
        gap_x=max(56.0, labels * 7.0 + 44),
        gap_y=20.0,
    )


def _write_part(nodes: Sequence[Node], layout: Layout, grid: Grid, top: float) -> Iterator[str]:
    yield f'<g transform="translate({MARGIN} {top:.0f})">'
    for line in layout.lines:
        yield from _write_line(line)
    for box in layout.boxes:
        yield from _write_box(nodes, box, grid)
    yield "</g>"


def _write_line(line: Line) -> Iterator[str]:
    """Draw a line: curved between layers, straight within a layer."""
    start, *_ = line.points
    path = f"M{start.x:.1f} {start.y:.1f}"
    for number, (before, after) in enumerate(pairwise(line.points)):
        if number % 2:
            path += f" H{after.x:.1f}"
        else:
            middle = (before.x + after.x) / 2
            path += f" C{middle:.1f} {before.y:.1f} {middle:.1f} {after.y:.1f} {after.x:.1f} {after.y:.1f}"
    dashes = ' stroke-dasharray="5 4"' if line.label else ""
    yield f'<path d="{path}" fill="none" stroke="#666" stroke-width="1.2"{dashes} marker-end="url(#arrow)"/>'
    if line.label:
        end = line.points[-1]
        text = escape(_cut(line.label.replace("|", " or ")))
        yield (
            f'<text x="{end.x - 12:.1f}" y="{end.y - 7:.1f}" font-size="11" fill="#444" text-anchor="end" '
            f'stroke="#fff" stroke-width="3" paint-order="stroke">{text}</text>'
        )


def _write_box(nodes: Sequence[Node], box: Box, grid: Grid) -> Iterator[str]:
    first = nodes[box.members[0]]
    names = ", ".join(nodes[member].name for member in box.members)
    heading, note = (first.name, first.note) if len(box.members) == 1 else (f"{len(box.members)} tasks", names)
    state, standing = summarize_states(nodes, box.members)
    yield f'<g transform="translate({box.corner.x:.1f} {box.corner.y:.1f})">'
    yield f"<title>{escape(': '.join(filter(None, (names, first.note, standing))))}</title>"
    box_style = f'fill="{COLOURS.get(state, "#fff")}" stroke="{STROKES.get(state, PLAIN_STROKE)}" stroke-width="1.3"'
    width, height = grid.box_width, grid.box_height
    if "for each" in first.note or len(box.members) > 1:
        yield f'<rect x="{BACK}" y="{BACK}" width="{width}" height="{height}" rx="6" {box_style}/>'
    if first.note.startswith("approval"):
        middle = height / 2
        corners = f"0,{middle} 12,0 {width - 12},0 {width},{middle} {width - 12},{height} 12,{height}"
        yield f'<polygon points="{corners}" {box_style}/>'
    else:
        yield f'<rect width="{width}" height="{height}" rx="6" {box_style}/>'
    if first.note.startswith("flow "):
        inner = f'width="{width - 6}" height="{height - 6}"'
        yield f'<rect x="3" y="3" {inner} rx="4" fill="none" stroke="{PLAIN_STROKE}"/>'
    texts = [(heading, 'font-size="13" font-weight="bold" fill="#222"'), (note, 'fill="#555"')]
    if standing:
        texts.append((f"{state_style(state).sign} {standing}", f'fill="{STROKES.get(state, "#444")}"'))
    fitting = int((width - 2 * INDENT) / CHARACTER)
    shown = [(text, style) for text, style in texts if text]
    y = (height - len(shown) * LINE_HEIGHT) / 2 + 12.5
    for text, style in shown:
        yield f'<text x="{INDENT}" y="{y:.1f}" {style}>{escape(_cut(text, fitting))}</text>'
        y += LINE_HEIGHT
    yield "</g>"


def _cut(text: str, characters: int = MAX_CHARACTERS) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
