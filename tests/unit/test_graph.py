from __future__ import annotations

import graphlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from penstock.engine.compiler.graph import find_cycles, reverse

graphs = st.integers(1, 8).flatmap(
    lambda size: st.lists(st.lists(st.integers(0, size - 1), max_size=3, unique=True), min_size=size, max_size=size)
)


def is_acyclic(upstream: list[list[int]]) -> bool:
    try:
        graphlib.TopologicalSorter(dict(enumerate(upstream))).prepare()
    except graphlib.CycleError:
        return False
    return True


@given(graphs)
def test_cycles_are_found_if_there_are_any(upstream):
    assert (find_cycles(upstream) == []) == is_acyclic(upstream)


@given(graphs)
def test_what_is_found_is_a_cycle_from_its_least_node_on(upstream):
    cycles = find_cycles(upstream)
    for cycle in cycles:
        assert cycle[0] == min(cycle)
        assert len(set(cycle)) == len(cycle)
        assert all(following in upstream[node] for node, following in pairwise([*cycle, cycle[0]]))
    nodes = [node for cycle in cycles for node in cycle]
    assert len(nodes) == len(set(nodes))


@given(graphs)
def test_no_cycle_stays_hidden_behind_those_that_were_found(upstream):
    """Who cuts one edge of each cycle found, again and again, is done in the end."""
    rounds = 0
    while cycles := find_cycles(upstream):
        for cycle in cycles:
            upstream[cycle[-1]].remove(cycle[0])
        rounds += 1
        assert rounds < 100
    assert is_acyclic(upstream)


def test_a_long_chain_and_a_long_cycle_need_no_recursion():
    size = 100_000
    chain = [[], *([node] for node in range(size - 1))]
    assert find_cycles(chain) == []
    chain[0] = [size - 1]
    assert len(find_cycles(chain)[0]) == size


def test_edges_are_turned_around():
    assert reverse([[1, 2], [2], []]) == [[], [0], [0, 1]]
