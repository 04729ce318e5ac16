"""Writes a graph in the DOT language of Graphviz. Pure.

The language: https://graphviz.org/doc/info/lang.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.drawing.diagram import Node
from penstock.drawing.mermaid import COLOURS


def write_dot(nodes: Sequence[Node], name: str) -> Iterator[str]:
    """Write a graph, line by line.

    Args:
        nodes: the graph.
        name: its name.
    """
    yield f"digraph {_quote(name)} {{"
    yield '  node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"];'
    for place, node in enumerate(nodes):
        if not node.is_finally:
            yield f"  {_box(place, node)}"
    if any(node.is_finally for node in nodes):
        yield "  subgraph cluster_finally {"
        yield '    label="finally"; style=dashed; fontname="sans-serif";'
        yield from (f"    {_box(place, node)}" for place, node in enumerate(nodes) if node.is_finally)
        yield "  }"
    for place, node in enumerate(nodes):
        for edge in node.edges:
            attributes = f' [style=dashed, label={_quote(edge.label)}, fontname="sans-serif"]' if edge.label else ""
            yield f"  t{edge.task} -> t{place}{attributes};"
    yield "}"


def _box(place: int, node: Node) -> str:
    text = "\\n".join(filter(None, (node.name, node.note, node.standing)))
    colour = f', fillcolor="{COLOURS[node.state]}"' if node.state in COLOURS else ""
    shape = ", shape=hexagon" if node.note == "approval" else ", peripheries=2" if node.note.startswith("flow ") else ""
    return f'{f"t{place}"} [label="{text}"{colour}{shape}];'


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
