"""Events that wait to be handled: in order, bounded, and none is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.engine.keys import ObjectKey
from penstock_operator.runtime.token_bucket import TokenBucket
from penstock_operator.triggers.observed import ObservedEvent, ObservedEvents


def event(order: float, uid: str = "") -> ObservedEvent:
    return ObservedEvent(uid or f"u{order}", ObjectKey("ns", "a"), order)


def taken(events: ObservedEvents) -> list[float]:
    return [events.take_event().order for _ in range(len(events))]


def test_events_are_taken_in_their_order_and_each_once():
    events = ObservedEvents()
    for order in (3, 1, 2, 3, 1):
        events.add(event(order))
    assert taken(events) == [1, 2, 3]


def test_an_event_that_could_not_be_handled_is_the_next_again():
    events = ObservedEvents()
    for order in (1, 2):
        events.add(event(order))
    first = events.take_event()
    events.put_back(first)
    assert taken(events) == [1, 2]


@given(st.lists(st.integers(1, 200), unique=True), st.integers(1, 20))
def test_however_many_events_there_are_few_are_kept_and_lists_find_all_in_order(orders, most):
    events = ObservedEvents(most)
    handled: list[float] = []
    while True:
        for order in orders:
            if not handled or order > max(handled):
                events.add(event(order))
            assert len(events) < 2 * most
        handled += taken(events)
        if not events.must_be_listed:
            break
        events.reopen()
    assert handled == sorted(orders)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 50)), unique=True), st.integers(1, 5))
def test_events_of_the_same_moment_are_kept_or_dropped_together(orders, most):
    events = ObservedEvents(most)
    for order, uid in orders:
        events.add(event(order, str(uid)))
    handled = [events.take_event() for _ in range(len(events))]
    latest = max((one.order for one in handled), default=0)
    assert len(handled) == len([order for order, _ in orders if order <= latest])
    assert len(handled) == len(orders) or events.must_be_listed


def test_events_that_were_dropped_are_listed_only_when_the_kept_ones_are_taken():
    events = ObservedEvents(2)
    for order in (3, 2, 1, 0, 5):
        events.add(event(order))
    assert not events.must_be_listed
    assert taken(events) == [0, 1]
    assert events.must_be_listed


def test_when_the_dropped_events_cannot_be_listed_later_ones_wait_for_them():
    events = ObservedEvents(2)
    for order in range(4):
        events.add(event(order))
    taken(events)
    events.reopen()
    events.add(event(9))
    events.drop_all()
    events.add(event(10))
    assert len(events) == 0
    assert events.must_be_listed


def test_a_bucket_allows_a_burst_and_then_a_steady_rate():
    now = 0.0
    bucket = TokenBucket(3, 2.0, clock=lambda: now)
    for _ in range(3):
        assert bucket.wait_s == 0
        bucket.take_token()
    assert bucket.wait_s == 0.5
    now = 0.5
    assert bucket.wait_s == 0
    bucket.take_token()
    now = 1000.0
    for _ in range(3):
        assert bucket.wait_s == 0
        bucket.take_token()
    assert bucket.wait_s == 0.5
