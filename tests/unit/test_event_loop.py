"""The operator's event loop rests between two wake-ups, the longer the more is in hand."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from penstock_operator.event_loop import COUNT_EVERY_S, MOST_TASKS, REST_PER_TASK_S, RestingSelector

FEW, MANY = 20, 100_000
LONGEST_REST_S = MOST_TASKS * REST_PER_TASK_S


class Bench:
    """A selector with a socket that is ready, on a clock of its own."""

    def __init__(self, ready: socket.socket) -> None:
        self.now = 1000.0
        self.rests: list[float] = []
        self.selector = RestingSelector(clock=lambda: self.now, sleep=self._sleep)
        self.selector.register(ready, selectors.EVENT_WRITE)

    def select(self, timeout: float | None = None, *, after_s: float = 0.0) -> float:
        """Wait for the socket, so long after what was before; returns the rest."""
        self.now += after_s
        count = len(self.rests)
        assert len(self.selector.select(timeout)) == 1
        return sum(self.rests[count:])

    def _sleep(self, pause_s: float) -> None:
        self.now += pause_s
        self.rests.append(pause_s)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return such a selector, where two things are in hand."""
    one, other = socket.socketpair()
    with one, other:
        bench = Bench(one)
        yield bench
        bench.selector.close()


def test_nothing_in_hand_no_rest(bench):
    assert [bench.select(), bench.select()] == [0, 0]


def test_the_rest_grows_with_what_is_in_hand_up_to_the_longest(bench):
    bench.selector.count = partial(min, FEW)
    assert bench.select() == 0
    assert bench.select() == pytest.approx(FEW * REST_PER_TASK_S)
    bench.selector.count = partial(min, MANY)
    bench.select(after_s=COUNT_EVERY_S)
    assert bench.select() == pytest.approx(LONGEST_REST_S)


def test_work_since_the_last_wake_up_is_part_of_the_rest(bench):
    bench.selector.count = partial(min, MANY)
    bench.select()
    assert bench.select(after_s=0.015) == pytest.approx(LONGEST_REST_S - 0.015)
    assert bench.select(after_s=LONGEST_REST_S) == 0


def test_a_timer_is_not_kept_waiting_and_callbacks_are_not_either(bench):
    bench.selector.count = partial(min, MANY)
    bench.select()
    assert bench.select(0.005) == pytest.approx(0.005)
    bench.select()
    assert bench.select(0) == 0


def test_what_is_in_hand_is_counted_now_and_then_only(bench):
    counts = 0

    def count(most: int) -> int:
        nonlocal counts
        counts += 1
        return most

    bench.selector.count = count
    for _ in range(50):
        bench.select()
    assert counts <= 50 * LONGEST_REST_S / COUNT_EVERY_S + 1
