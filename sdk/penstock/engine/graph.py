"""Directed graphs over positions 0 to n-1, as lists of neighbours.

Nothing here recurses: a chain may be as long as a Flow.
"""

from __future__ import annotations

from collections.abc import Sequence


def reverse(upstream: Sequence[Sequence[int]]) -> list[list[int]]:
    """Turn the edges around: from what each node waits for to who waits for it, in order of position."""
    downstream: list[list[int]] = [[] for _ in upstream]
    for position, nodes in enumerate(upstream):
        for node in nodes:
            downstream[node].append(position)
    return downstream


def find_cycles(upstream: Sequence[Sequence[int]]) -> list[list[int]]:
    """Find nodes that wait for each other.

    Args:
        upstream: for each node, the nodes that it waits for.

    Returns:
        Cycles that have no node in common, each from its least node on in the order of waiting; at least one if the
        graph has any. Takes time linear in the edges.
    """
    waiting = _nodes_never_free(upstream)
    # Each of these waits for at least one other of them, so following the first such one must end in a cycle.
    following = {node: next(one for one in upstream[node] if one in waiting) for node in sorted(waiting)}
    cycles = []
    seen: set[int] = set()
    for start in following:
        trail: dict[int, None] = {}
        node = start
        while node not in seen and node not in trail:
            trail[node] = None
            node = following[node]
        if node in trail:
            cycle = list(trail)[list(trail).index(node) :]
            least = cycle.index(min(cycle))
            cycles.append(cycle[least:] + cycle[:least])
        seen.update(trail)
    return cycles


def _nodes_never_free(upstream: Sequence[Sequence[int]]) -> set[int]:
    """Take away what waits for nothing, again and again, and return what stays."""
    downstream = reverse(upstream)
    degrees = [len(nodes) for nodes in upstream]
    free = [node for node, degree in enumerate(degrees) if not degree]
    waiting = set(range(len(upstream))) - set(free)
    while free:
        for node in downstream[free.pop()]:
            degrees[node] -= 1
            if not degrees[node]:
                free.append(node)
                waiting.discard(node)
    return waiting
