from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.runtime.time_heap import STALE_ENTRIES, TimeHeap


def test_keys_come_in_the_order_of_their_times():
    heap: TimeHeap[str] = TimeHeap()
    for key, when in (("b", 20), ("a", 10), ("c", 30)):
        heap.set(key, when)
    assert heap.next_time == 10
    assert heap.pop_due(25) == ["a", "b"]
    assert heap.next_time == 30
    assert heap.pop_due(25) == []


def test_keys_of_one_time_come_in_the_order_in_which_they_were_set():
    heap: TimeHeap[str] = TimeHeap()
    for key in ("b", "a", "c"):
        heap.set(key, 10)
    assert heap.pop_due(10) == ["b", "a", "c"]


def test_a_later_time_replaces_an_earlier_one():
    heap: TimeHeap[str] = TimeHeap()
    heap.set("a", 10)
    heap.set("a", 20)
    assert heap.time_of("a") == 20
    assert heap.pop_due(10) == []
    assert heap.pop_due(20) == ["a"]
    assert heap.pop_due(20) == []


def test_a_discarded_key_does_not_come():
    heap: TimeHeap[str] = TimeHeap()
    heap.set("a", 10)
    heap.set("b", 20)
    heap.discard("a")
    assert "a" not in heap
    assert (heap.first, heap.next_time, len(heap)) == ("b", 20, 1)
    assert heap.pop_due(30) == ["b"]


def test_an_empty_heap_has_no_next_time():
    heap: TimeHeap[str] = TimeHeap()
    heap.set("a", 10)
    heap.clear()
    assert (heap.first, heap.next_time, heap.time_of("a"), len(heap)) == (None, None, None, 0)
    assert heap.pop_due(30) == []


def test_keys_whose_times_change_all_the_time_take_no_more_and_more_memory():
    heap: TimeHeap[str] = TimeHeap()
    heap.set("first", 0)
    for when in range(10 * STALE_ENTRIES):
        heap.set("a", when)
        heap.set("b", 5)
        heap.discard("b")
    assert len(heap._heap) <= STALE_ENTRIES + 2 * 2
    assert heap.pop_due(10 * STALE_ENTRIES) == ["first", "a"]


steps = st.tuples(st.sampled_from(["set", "discard", "pop"]), st.integers(0, 5), st.integers(0, 20))


@given(st.lists(steps, max_size=80))
def test_it_agrees_with_a_plain_mapping_of_times(taken):
    heap: TimeHeap[int] = TimeHeap()
    times: dict[int, int] = {}
    for step, key, when in taken:
        if step == "set":
            heap.set(key, when)
            times[key] = when
        elif step == "discard":
            heap.discard(key)
            times.pop(key, None)
        else:
            due = heap.pop_due(when)
            assert sorted(due) == sorted(each for each, at in times.items() if at <= when)
            assert [times[each] for each in due] == sorted(times[each] for each in due)
            for each in due:
                del times[each]
        assert heap.next_time == min(times.values(), default=None)
        assert len(heap) == len(times)
