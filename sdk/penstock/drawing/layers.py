"""Assigns a graph to layers, such that lines are short and rarely cross. Pure and deterministic.

The method is by K. Sugiyama, S. Tagawa and M. Toda, "Methods for Visual Understanding of Hierarchical System
Structures" (1981): layers by the longest path from the start, a stop wherever a line passes a layer, the order within
a layer by the mean of the neighbors, and then heights as close to the neighbors as possible.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

MAX_STOPS: Final = 20_000
"""If lines pass more layers than this in total, they have no stops."""
SWEEPS: Final = 12
"""Number of iterations that improve the order, and then the heights."""
STOP_WEIGHT: Final = 4.0
"""Weight of a line that passes a layer, relative to one that ends there: how straight it should be."""

Pair = tuple[int, int]
"""A line: its start node and its end node."""


class Spot(NamedTuple):
    """Position of a node or a stop."""

    layer: int
    height: float


class Layered(NamedTuple):
    """A graph in layers."""

    spots: dict[int, Spot]
    """By node."""
    routes: dict[Pair, tuple[Spot, ...]]
    """By line: the spots that it passes, including both ends."""


class _Places(NamedTuple):
    """The nodes, and the stops of lines in the layers that they pass; lines from the same node share stops."""

    layer_of: dict[int, int]
    before: dict[int, list[int]]
    """Neighbours in earlier layers."""
    after: dict[int, list[int]]
    """Neighbours in later layers."""
    first_stop: int
    """The lowest number of a stop."""


def assign_layers(nodes: Sequence[int], pairs: Iterable[Pair], *, spacing: float, stop_spacing: float) -> Layered:
    """Assign a graph to layers.

    Args:
        nodes: its nodes in topological order.
        pairs: its lines.
        spacing: distance between the centers of two nodes in a layer.
        stop_spacing: distance between the centers of two lines that pass a layer.
    """
    upstream: dict[int, list[int]] = {node: [] for node in nodes}
    for start, end in sorted(pairs):
        upstream[end].append(start)
    layer_of = _choose_layers(nodes, upstream)
    stops = _choose_stops(upstream, layer_of)
    routes = {
        (start, end): (start, *(stops[start, number] for number in _between(start, end, layer_of) if stops), end)
        for end in nodes
        for start in upstream[end]
    }
    places = _Places(dict(layer_of), defaultdict(list), defaultdict(list), max(nodes) + 1)
    places.layer_of.update({place: number for (_, number), place in stops.items()})
    for one, other in dict.fromkeys(step for route in routes.values() for step in pairwise(route)):
        places.before[other].append(one)
        places.after[one].append(other)
    heights = _choose_heights(_arrange(places), places, spacing, stop_spacing)
    spots = {place: Spot(places.layer_of[place], height) for place, height in heights.items()}
    return Layered(
        {node: spots[node] for node in nodes},
        {pair: tuple(spots[place] for place in route) for pair, route in routes.items()},
    )


def _between(start: int, end: int, layer_of: dict[int, int]) -> range:
    return range(layer_of[start] + 1, layer_of[end])


def _choose_layers(nodes: Sequence[int], upstream: dict[int, list[int]]) -> dict[int, int]:
    layer_of: dict[int, int] = {}
    followers: dict[int, int] = {}
    for node in nodes:
        layer_of[node] = 1 + max((layer_of[one] for one in upstream[node]), default=-1)
        for one in upstream[node]:
            followers[one] = min(layer_of[node], followers.get(one, layer_of[node]))
    for node in nodes:  # a node without upstream nodes is directly before its downstream nodes, not at the far left
        if not upstream[node] and node in followers:
            layer_of[node] = followers[node] - 1
    return layer_of


def _choose_stops(upstream: dict[int, list[int]], layer_of: dict[int, int]) -> dict[Pair, int]:
    """Number the stops by start node and layer."""
    farthest: dict[int, int] = {}
    for end, starts in upstream.items():
        for start in starts:
            farthest[start] = max(layer_of[end], farthest.get(start, 0))
    if sum(last - layer_of[start] - 1 for start, last in farthest.items()) > MAX_STOPS:
        return {}
    passed = ((start, number) for start, last in farthest.items() for number in range(layer_of[start] + 1, last))
    return {stop: place for place, stop in enumerate(passed, max(layer_of) + 1)}


def _arrange(places: _Places) -> list[list[int]]:
    """Order each layer such that few lines cross."""
    layers: list[list[int]] = [[] for _ in range(max(places.layer_of.values()) + 1)]
    for place, number in places.layer_of.items():
        layers[number].append(place)
    best, fewest = layers, _count_crossings(layers, places)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        neighbours = places.after if sweep % 2 else places.before
        layers = [list(each) for each in layers]
        index_of = {place: float(index) for each in layers for index, place in enumerate(each)}
        for each in reversed(layers) if sweep % 2 else layers:
            means = {place: _mean(neighbours[place], index_of.__getitem__, index_of[place]) for place in each}
            each.sort(key=means.__getitem__)
            index_of.update((place, float(index)) for index, place in enumerate(each))
        if (crossings := _count_crossings(layers, places)) < fewest:
            best, fewest = layers, crossings
    return best


def _count_crossings(layers: Sequence[Sequence[int]], places: _Places) -> int:
    crossings = 0
    index_of = {place: index for each in layers for index, place in enumerate(each)}
    for each in layers:
        ends: list[int] = []
        for place in each:
            targets = sorted(index_of[after] for after in places.after[place])
            crossings += sum(len(ends) - bisect_right(ends, target) for target in targets)
            for target in targets:
                insort(ends, target)
    return crossings


def _choose_heights(
    layers: Sequence[Sequence[int]], places: _Places, spacing: float, stop_spacing: float
) -> dict[int, float]:
    """Choose heights close to those of the neighbors, in the order of each layer."""
    offsets: list[list[float]] = []
    for each in layers:
        rooms = [stop_spacing if place >= places.first_stop else spacing for place in each]
        offsets.append(list(accumulate(((one + other) / 2 for one, other in pairwise(rooms)), initial=0.0)))
    heights = {
        place: offset - own[-1] / 2
        for each, own in zip(layers, offsets, strict=True)
        for place, offset in zip(each, own, strict=True)
    }
    for sweep in range(SWEEPS + 1):
        # Forward and backward in turn; the last sweep uses both sides.
        sides = (places.before, places.after) if sweep == SWEEPS else ((places.before, places.after)[sweep % 2],)
        numbers = range(len(layers))
        for number in reversed(numbers) if sweep % 2 else numbers:
            wanted = []
            for place, offset in zip(layers[number], offsets[number], strict=True):
                neighbours = [one for side in sides for one in side[place]]
                mean = _mean(neighbours, heights.__getitem__, heights[place])
                wanted.append((mean - offset, STOP_WEIGHT if place >= places.first_stop else 1.0))
            for place, offset, height in zip(
                layers[number], offsets[number], _nearest_non_decreasing(wanted), strict=True
            ):
                heights[place] = height + offset
    return heights


def _mean(places: Sequence[int], value: Callable[[int], float], otherwise: float) -> float:
    return sum(map(value, places)) / len(places) if places else otherwise


def _nearest_non_decreasing(wanted: Iterable[tuple[float, float]]) -> Iterator[float]:
    """Return the non-decreasing values with the smallest weighted sum of squared differences (isotonic regression).

    Args:
        wanted: values, each with its weight.
    """
    pools: list[tuple[float, float, int]] = []  # mean, weight, count
    for value, weight in wanted:
        pool = (value, weight, 1)
        while pools and pools[-1][0] >= pool[0]:
            mean, total, count = pools.pop()
            sum_of_weights = total + pool[1]
            pool = ((mean * total + pool[0] * pool[1]) / sum_of_weights, sum_of_weights, count + pool[2])
        pools.append(pool)
    for mean, _, count in pools:
        yield from [mean] * count
