"""Draws a graph with characters: one task per row, with lanes on the left for dependencies. Pure.

A lane begins below a task and continues down to its last downstream task. Where lanes cross without a connection, the
horizontal line is interrupted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from penstock.drawing.diagram import Node, group, order
from penstock.engine.suggestion import enumerate_names

NODE: Final = "*"
"""Placeholder for the sign of the row's task in the lanes."""
_CORNERS: Final = {  # by whether a line leads up, down, left, right
    (True, True, False, True): "├",
    (True, True, True, False): "┤",
    (True, True, True, True): "┼",
    (True, False, True, True): "┴",
    (False, True, True, True): "┬",
    (True, False, False, True): "╰",
    (True, False, True, False): "╯",
    (False, True, False, True): "╭",
    (False, True, True, False): "╮",
    (False, False, True, True): "─",
    (True, True, False, False): "│",
}


class Row(NamedTuple):
    """A row of the drawing."""

    lanes: str
    """The lanes, with NODE in the place of the task's sign."""
    members: tuple[int, ...]
    """Indexes of the tasks of the row; empty for rows between tasks."""


def draw(nodes: Sequence[Node], positions: Sequence[int]) -> Iterator[Row]:
    """Draw a part of a graph.

    Args:
        nodes: the graph.
        positions: indexes of the tasks to draw; edges to others are omitted.
    """
    groups = group(nodes, positions)
    leaders = [members[0] for members in groups]
    leader_of = {member: members[0] for members in groups for member in members}
    upstream = {
        leader: {leader_of[edge.task] for edge in nodes[leader].edges if edge.task in leader_of} for leader in leaders
    }
    left = Counter(one for waits in upstream.values() for one in waits)
    lanes = _Lanes()
    members_of = dict(zip(leaders, groups, strict=True))
    for leader in order(nodes, positions):
        if leader in members_of:
            left.subtract(upstream[leader])
            ended = {one for one in upstream[leader] if left[one] == 0}
            yield from (Row(line, ()) for line in lanes.enter_row(upstream[leader], ended))
            yield Row(lanes.place(leader, is_source=left[leader] > 0), members_of[leader])


def label(nodes: Sequence[Node], members: Sequence[int]) -> str:
    """Return the names of the tasks of a row, with their kind and conditions."""
    first = nodes[members[0]]
    if len(members) == 1:
        name = first.name
    else:
        name = f"{len(members)} tasks: {enumerate_names(nodes[member].name for member in members)}"
    conditions = [f"if {nodes[edge.task].name} is {edge.label}" for edge in first.edges if edge.label]
    notes = ", ".join(filter(None, [first.note, *conditions]))
    return f"{name}  ({notes})" if notes else name


class _Lanes:
    """The lanes from left to right, each occupied by the task that it starts from."""

    def __init__(self) -> None:
        self._sources: list[int | None] = []
        self._column = 0
        self._above = ""
        """The previous row."""

    def enter_row(self, upstream: set[int], ended: set[int]) -> Iterator[str]:
        """Connect lanes to the column of the next task, and end the lanes that no later task needs.

        Args:
            upstream: the upstream tasks of the next task.
            ended: the upstream tasks without further downstream tasks.
        """
        crossed = [column for column, source in enumerate(self._sources) if source in upstream]
        ending = [column for column in crossed if self._sources[column] in ended]
        if not crossed:
            self._column = self._free(0)
        elif ending:
            self._column = ending[0]
        else:
            self._column = self._free(crossed[-1] + 1)
        row = self._row(crossed, ending)
        for column in ending:
            self._sources[column] = None
        is_passed_on = self._above[2 * self._column : 2 * self._column + 1] in {"│", "├", "┤", "┼", "╮", "╭", "┬"}
        if crossed and not (crossed == [self._column] and is_passed_on):
            yield row

    def place(self, task: int, *, is_source: bool) -> str:
        """Return the row of the task itself."""
        while self._sources and self._sources[-1] is None:
            self._sources.pop()
        self._sources += [None] * (self._column + 1 - len(self._sources))
        line = ["│ " if source is not None else "  " for source in self._sources]
        line[self._column] = f"{NODE} "
        self._sources[self._column] = task if is_source else None
        self._above = "".join(line)
        return self._above

    def _free(self, start: int) -> int:
        for column in range(start, len(self._sources)):
            if self._sources[column] is None:
                return column
        return max(start, len(self._sources))

    def _row(self, crossed: list[int], ending: list[int]) -> str:
        touched = {*crossed, self._column}
        first, last = min(touched), max(touched)
        cells = []
        for column in range(max(len(self._sources), last + 1)):
            is_held = column < len(self._sources) and self._sources[column] is not None
            is_inside = first <= column <= last
            if column in touched:
                continues_down = column == self._column or column not in ending
                corner = _CORNERS.get((is_held, continues_down, column > first, column < last), "│")
            else:
                corner = "│" if is_held else "─" if is_inside else " "
            cells.append(corner + ("─" if is_inside and column < last else " "))
        return "".join(cells)
