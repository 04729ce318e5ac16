"""Positions of boxes and lines in a picture of a graph: layers from left to right. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from penstock.drawing.diagram import Node, group, order
from penstock.drawing.layers import assign_layers


class Point(NamedTuple):
    """A position in pixels from the upper left corner."""

    x: float
    y: float


class Box(NamedTuple):
    """One task, or several that differ only in their names."""

    members: tuple[int, ...]
    corner: Point
    """The upper left corner."""


class Line(NamedTuple):
    """From a task to a downstream task."""

    points: tuple[Point, ...]
    """From the right side of a box, with two points per layer in between, to the left side of another box."""
    label: str


class Grid(NamedTuple):
    """Sizes, in pixels."""

    box_width: float
    box_height: float
    gap_x: float
    """Between layers."""
    gap_y: float
    """Between the boxes of a layer."""


class Layout(NamedTuple):
    """The result."""

    boxes: list[Box]
    lines: list[Line]
    width: float
    height: float


def lay_out(nodes: Sequence[Node], positions: Sequence[int], grid: Grid) -> Layout:
    """Lay out a part of a graph.

    Args:
        nodes: the graph.
        positions: indexes of the tasks to draw; edges to others are omitted.
        grid: the sizes.
    """
    groups = group(nodes, positions)
    place_of = {member: place for place, members in enumerate(groups) for member in members}
    labels: dict[tuple[int, int], str] = {}
    for place, members in enumerate(groups):
        for edge in nodes[members[0]].edges:
            if edge.task in place_of:
                pair = (place_of[edge.task], place)
                labels[pair] = ", ".join(filter(None, (labels.get(pair), edge.label)))
    boxes: list[Box] = []
    lines: list[Line] = []
    width = height = 0.0
    sequence = [place_of[member] for member in order(nodes, positions) if groups[place_of[member]][0] == member]
    for part in _connected_parts(sequence, labels):
        among = set(part)
        pairs = [pair for pair in labels if pair[0] in among]
        layered = assign_layers(part, pairs, spacing=grid.box_height + grid.gap_y, stop_spacing=grid.gap_y)
        spots = {*layered.spots.values(), *(spot for route in layered.routes.values() for spot in route)}
        highest = min(spot.height for spot in spots)
        corners = {
            spot: Point(spot.layer * (grid.box_width + grid.gap_x), spot.height - highest + height) for spot in spots
        }
        boxes += [Box(groups[place], corners[spot]) for place, spot in layered.spots.items()]
        for pair, route in layered.routes.items():
            points = [point for spot in route for point in _sides(corners[spot], grid)]
            lines.append(Line(tuple(points[1:-1]), labels[pair]))
        width = max(width, *(corner.x + grid.box_width for corner in corners.values()))
        height = max(corner.y for corner in corners.values()) + grid.box_height + grid.gap_y
    return Layout(boxes, lines, width, max(0.0, height - grid.gap_y))


def _connected_parts(places: Sequence[int], pairs: Iterable[tuple[int, int]]) -> Iterator[list[int]]:
    """Split a graph into its connected components."""
    neighbours: dict[int, list[int]] = {place: [] for place in places}
    for start, end in pairs:
        neighbours[start].append(end)
        neighbours[end].append(start)
    seen: set[int] = set()
    for first in places:
        if first not in seen:
            found, left = {first}, [first]
            while left:
                for place in neighbours[left.pop()]:
                    if place not in found:
                        found.add(place)
                        left.append(place)
            seen |= found
            yield [place for place in places if place in found]


def _sides(corner: Point, grid: Grid) -> tuple[Point, Point]:
    """Return the centers of the left and the right side of a box."""
    middle = corner.y + grid.box_height / 2
    return Point(corner.x, middle), Point(corner.x + grid.box_width, middle)
