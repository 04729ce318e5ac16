from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.runtime.time_heap import STALE_ENTRIES
from penstock_operator.runtime.workqueue import WorkQueue
from tests.unit.virtual_time import now, run


class Key(NamedTuple):
    namespace: str
    name: str


A, B, C = Key("ns", "a"), Key("ns", "b"), Key("ns", "c")


def new_queue() -> WorkQueue[Key]:
    return WorkQueue(clock=now)


async def take(queue: WorkQueue[Key]) -> tuple[float, Key]:
    """Get a key, work no time on it; returns when it came."""
    key = await queue.get()
    queue.done(key)
    return now(), key


async def is_idle(queue: WorkQueue[Key]) -> bool:
    """Tell whether no key comes within the next day."""
    try:
        await asyncio.wait_for(queue.get(), 86_400)
    except TimeoutError:
        return True
    return False


def test_keys_come_in_the_order_in_which_they_were_added():
    async def scenario() -> None:
        queue = new_queue()
        for key in (B, A, C):
            queue.add(key)
        assert [await queue.get() for _ in range(3)] == [B, A, C]

    run(scenario())


def test_a_key_added_many_times_comes_once():
    async def scenario() -> None:
        queue = new_queue()
        for _ in range(100):
            queue.add(A)
        assert queue.depth == 1
        assert await take(queue) == (0, A)
        assert await is_idle(queue)

    run(scenario())


def test_a_key_added_while_it_is_worked_on_comes_again_after_done_and_not_before():
    async def scenario() -> None:
        queue = new_queue()
        queue.add(A)
        assert await queue.get() == A
        queue.add(A)
        queue.add(A)
        queue.add(B)
        assert queue.depth == 1
        assert await take(queue) == (0, B)
        queue.done(A)
        assert await take(queue) == (0, A)
        assert await is_idle(queue)

    run(scenario())


def test_a_waiting_worker_wakes_when_a_key_comes():
    async def scenario() -> None:
        queue = new_queue()
        waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
        await asyncio.sleep(1)
        queue.add(A)
        queue.add(B)
        assert set(await asyncio.gather(*waiting)) == {A, B}

    run(scenario())


def test_a_worker_that_gives_up_waiting_takes_no_key_with_it():
    async def scenario() -> None:
        queue = new_queue()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 1)
        queue.add(A)
        assert await take(queue) == (1, A)

    run(scenario())


def test_a_later_key_comes_at_its_time():
    async def scenario() -> None:
        queue = new_queue()
        queue.add_at(B, 20)
        queue.add_at(A, 10)
        queue.add_at(C, 30)
        assert queue.depth == 0
        assert queue.delayed == 3
        assert [await take(queue) for _ in range(3)] == [(10, A), (20, B), (30, C)]

    run(scenario())


def test_of_several_times_of_one_key_the_earliest_holds():
    async def scenario() -> None:
        queue = new_queue()
        for when in (30, 10, 20):
            queue.add_at(A, when)
        assert queue.delayed == 1
        assert await take(queue) == (10, A)
        assert await is_idle(queue)

    run(scenario())


def test_a_time_that_has_passed_is_now():
    async def scenario() -> None:
        queue = new_queue()
        await asyncio.sleep(5)
        queue.add_at(A, 3)
        queue.add_at(B, 5)
        assert [await take(queue), await take(queue)] == [(5, A), (5, B)]

    run(scenario())


def test_a_time_that_comes_during_the_work_brings_the_key_again():
    async def scenario() -> None:
        queue = new_queue()
        queue.add(A)
        await queue.get()
        queue.add_at(A, 10)
        await asyncio.sleep(15)
        assert queue.depth == 0
        queue.done(A)
        assert await take(queue) == (15, A)

    run(scenario())


def test_a_new_key_does_not_wait_for_the_next_timer():
    async def scenario() -> None:
        queue = new_queue()
        queue.add_at(A, 100)
        waiting = asyncio.create_task(take(queue))
        await asyncio.sleep(1)
        queue.add(B)
        assert await waiting == (1, B)

    run(scenario())


def test_a_forgotten_key_does_not_come_whether_it_was_ready_or_delayed_or_to_come_again():
    async def scenario() -> None:
        queue = new_queue()
        queue.add(A)
        queue.add_at(B, 10)
        queue.add(C)
        for key in (A, B):
            queue.forget_key(key)
        assert await queue.get() == C
        queue.add(C)
        queue.forget_key(C)
        queue.done(C)
        assert (queue.depth, queue.delayed) == (0, 0)
        assert await is_idle(queue)

    run(scenario())


def test_a_forgotten_key_can_be_added_again_and_comes_once():
    async def scenario() -> None:
        queue = new_queue()
        queue.add(A)
        queue.forget_key(A)
        queue.add(A)
        queue.add_at(B, 10)
        queue.forget_key(B)
        queue.add_at(B, 20)
        assert [await take(queue), await take(queue)] == [(0, A), (20, B)]
        assert await is_idle(queue)

    run(scenario())


def test_times_that_were_replaced_do_not_pile_up():
    async def scenario() -> None:
        queue = new_queue()
        for second in range(10 * STALE_ENTRIES):
            queue.add_at(A, 1_000_000)
            queue.add_at(A, second + 1)
            assert await take(queue) == (second + 1, A)
        assert len(queue._later._heap) <= STALE_ENTRIES + 2

    run(scenario())


def test_a_closed_queue_has_no_timer_left():
    async def scenario() -> None:
        queue = new_queue()
        queue.add_at(A, 10)
        queue.close()
        assert await is_idle(queue)

    run(scenario())


class Model:
    """A queue, and what is owed to those who added."""

    def __init__(self) -> None:
        self.queue = new_queue()
        self.working: set[Key] = set()
        self.owed: dict[Key, float] = {}

    async def add(self, key: Key, _: int) -> None:
        self.queue.add(key)
        self.owed[key] = now()

    async def add_at(self, key: Key, delay_s: int) -> None:
        self.queue.add_at(key, now() + delay_s)
        self.owed[key] = min(self.owed.get(key, float("inf")), now() + delay_s)

    async def forget(self, key: Key, _: int) -> None:
        self.queue.forget_key(key)
        self.owed.pop(key, None)

    async def get(self, _key: Key, _: int) -> None:
        if self.queue.depth:
            key = await self.queue.get()
            assert key not in self.working
            self.working.add(key)
            if self.owed.get(key, float("inf")) <= now():
                del self.owed[key]

    async def done(self, key: Key, _: int) -> None:
        if key in self.working:
            self.working.discard(key)
            self.queue.done(key)

    async def wait(self, _: Key, pause_s: int) -> None:
        await asyncio.sleep(pause_s)


STEP_NAMES = st.sampled_from(["add", "add_at", "forget", "get", "done", "wait"])


@given(st.lists(st.tuples(STEP_NAMES, st.sampled_from([A, B, C]), st.integers(1, 50)), max_size=40))
def test_whatever_is_done_no_key_is_held_twice_and_none_is_lost(steps):
    async def scenario() -> None:
        model = Model()
        for name, key, number in steps:
            await getattr(model, name)(key, number)
        for key in list(model.working):
            await model.done(key, 0)
        came: set[Key] = set()
        while model.owed.keys() - came:
            came.add((await asyncio.wait_for(take(model.queue), 1_000))[1])

    run(scenario())


def test_a_namespace_with_many_keys_delays_the_key_of_another_by_one():
    async def check() -> list[Key]:
        queue = new_queue()
        for number in range(1000):
            queue.add(Key("large", str(number)))
        queue.add(Key("small", "a"))
        return [(await take(queue))[1] for _ in range(4)]

    first = [Key("large", "0"), Key("small", "a"), Key("large", "1"), Key("large", "2")]
    assert run(check()) == first


def test_a_worker_that_is_cancelled_while_it_waits_takes_no_key_with_it():
    async def check() -> Key:
        queue = new_queue()
        first, second = (asyncio.create_task(queue.get()) for _ in range(2))
        await asyncio.sleep(0)
        queue.add(A)
        first.cancel()
        return await asyncio.wait_for(second, 1.0)

    assert run(check()) == A


def test_namespaces_whose_keys_take_long_leave_workers_to_others():
    """As two namespaces whose webhook takes ten seconds, of a queue with 32 workers."""

    async def check() -> tuple[int, list[float]]:
        queue, begun, came = new_queue(), 0, []
        queue.share_workers(32)

        async def work() -> None:
            nonlocal begun
            while True:
                key = await queue.get()
                if key.namespace.startswith("slow"):
                    begun += 1
                    await asyncio.sleep(10)
                else:
                    came.append(now())
                queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(32)]
        for slow in ("slow-a", "slow-b"):
            for number in range(1000):
                queue.add(Key(slow, str(number)))
            await asyncio.sleep(1)
        for _ in range(30):
            queue.add(A)
            await asyncio.sleep(1)
        for each in workers:
            each.cancel()
        return begun, came

    begun, came = run(check())
    assert came == [2.0 + second for second in range(30)]
    assert begun > 3 * 24, "few workers are idle"
