"""Directed graphs over positions 0 to n-1, as lists of neighbours.

Nothing here recurses: a chain may be as long as a Flow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence


def reverse(upstream: Sequence[Sequence[int]]) -> list[list[int]]:
    """Reverse the edges: for each node, the nodes that wait for it, in order of position."""
    downstream: list[list[int]] = [[] for _ in upstream]
    for position, nodes in enumerate(upstream):
        for node in nodes:
            downstream[node].append(position)
    return downstream


def in_order(upstream: Sequence[Sequence[int]]) -> Iterator[int]:
    """Yield the nodes of a graph without cycles, each after all that it waits for."""
    downstream = reverse(upstream)
    remaining = [len(nodes) for nodes in upstream]
    ready = deque(node for node, count in enumerate(remaining) if not count)
    while ready:
        node = ready.popleft()
        yield node
        for other in downstream[node]:
            remaining[other] -= 1
            if not remaining[other]:
                ready.append(other)


def find_cycles(upstream: Sequence[Sequence[int]]) -> list[list[int]]:
    """Find nodes that wait for each other.

    Args:
        upstream: for each node, the nodes that it waits for.

    Returns:
        One cycle of each group of nodes that all wait for each other, from its least node on in the order of waiting;
        cycles in the order of those. Takes time linear in the edges.
    """
    cycles = []
    for group in _strong_components(upstream):
        if len(group) > 1 or group[0] in upstream[group[0]]:
            cycle = _follow(min(group), upstream, set(group))
            least = cycle.index(min(cycle))
            cycles.append(cycle[least:] + cycle[:least])
    return sorted(cycles)


def _follow(node: int, upstream: Sequence[Sequence[int]], group: set[int]) -> list[int]:
    """Walk from node to node within a group until one comes again, and return that cycle."""
    trail: dict[int, int] = {}
    while node not in trail:
        trail[node] = len(trail)
        node = next(one for one in upstream[node] if one in group)
    return list(trail)[trail[node] :]


def _strong_components(upstream: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the groups of nodes that reach each other.

    Tarjan's algorithm, SIAM Journal on Computing 1 (1972), with a stack of its own in place of recursion.
    """
    components: list[list[int]] = []
    order: dict[int, int] = {}
    reach: dict[int, int] = {}  # the earliest node of the open ones that a node is known to reach, by its order
    is_open: dict[int, None] = {}
    for root in range(len(upstream)):
        visits = [] if root in order else [(root, iter(upstream[root]))]
        while visits:
            node, rest = visits[-1]
            if node not in order:
                order[node] = reach[node] = len(order)
                is_open[node] = None
            following = next(rest, None)
            if following is None:
                visits.pop()
                if visits:
                    reach[visits[-1][0]] = min(reach[visits[-1][0]], reach[node])
                if reach[node] == order[node]:
                    components.append(_close(is_open, node))
            elif following not in order:
                visits.append((following, iter(upstream[following])))
            elif following in is_open:
                reach[node] = min(reach[node], order[following])
    return components


def _close(is_open: dict[int, None], first: int) -> list[int]:
    component: list[int] = []
    while not component or component[-1] != first:
        component.append(is_open.popitem()[0])
    return component
