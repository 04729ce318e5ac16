"""Writes a graph as a Mermaid flowchart, which GitHub, GitLab and others render. Pure.

The language: https://mermaid.js.org/syntax/flowchart.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from penstock.drawing.diagram import Node

COLOURS: Final = {
    "Completed": "#d3f2d9",
    "Cached": "#d3f2d9",
    "Running": "#cdeef5",
    "Retrying": "#fdf0c4",
    "Queued": "#fdf0c4",
    "Paused": "#fde08a",
    "Failed": "#f8cfcf",
    "TimedOut": "#f8cfcf",
    "Crashed": "#f8cfcf",
    "Cancelled": "#ecd2f2",
    "Skipped": "#eeeeee",
    "Pending": "#ffffff",
}
"""Fill colors of boxes by state."""


def write_mermaid(nodes: Sequence[Node]) -> Iterator[str]:
    """Write a graph, line by line."""
    yield "flowchart TD"
    for place, node in enumerate(nodes):
        if not node.is_finally:
            yield f"  {_box(place, node)}"
    if any(node.is_finally for node in nodes):
        yield "  subgraph finally"
        yield from (f"    {_box(place, node)}" for place, node in enumerate(nodes) if node.is_finally)
        yield "  end"
    for place, node in enumerate(nodes):
        for edge in node.edges:
            yield (
                f"  t{edge.task} -. {edge.label.replace('|', ' or ')} .-> t{place}"
                if edge.label
                else (f"  t{edge.task} --> t{place}")
            )
    for state, colour in COLOURS.items():
        members = [f"t{place}" for place, node in enumerate(nodes) if node.state == state]
        if members:
            yield f"  classDef {state} fill:{colour},color:#222,stroke:#888"
            yield f"  class {','.join(members)} {state}"


def _box(place: int, node: Node) -> str:
    text = "<br/>".join(filter(None, (node.name, node.note, node.standing)))
    first, last = ("{{", "}}") if node.note == "approval" else ("[[", "]]") if node.note.startswith("flow ") else "[]"
    return f't{place}{first}"{text}"{last}'
