"""Places that owners share."""

from __future__ import annotations

import asyncio

import pytest

from penstock.kube.fair_slots import FairSlots


async def wait_for_turns(owners: list[str]) -> list[str]:
    """Have these owners ask for the only place, which is taken; returns in which order they got it."""
    slots, order = FairSlots(1), []

    async def work(owner: str) -> None:
        async with slots.hold(owner):
            order.append(owner)

    await slots.acquire("first")
    tasks = [asyncio.create_task(work(owner)) for owner in owners]
    await asyncio.sleep(0)
    slots.release("first")
    await asyncio.gather(*tasks)
    return order


def test_owners_get_places_in_turn_whatever_they_ask_for():
    assert asyncio.run(wait_for_turns(["a", "a", "a", "b", "c", "b"])) == ["a", "b", "c", "a", "b", "a"]


def test_one_owner_alone_gets_them_in_order():
    assert asyncio.run(wait_for_turns(["a"] * 3)) == ["a"] * 3


@pytest.mark.parametrize("is_given", [False, True])
def test_a_waiter_that_is_cancelled_leaves_the_place_to_the_next(is_given):
    async def check() -> None:
        slots = FairSlots(1)
        await slots.acquire("first")
        waiting = asyncio.create_task(slots.acquire("a"))
        await asyncio.sleep(0)
        if is_given:
            slots.release("first")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if not is_given:
            slots.release("first")
        await asyncio.wait_for(slots.acquire("b"), 1.0)

    asyncio.run(check())


def test_no_more_than_its_places_are_held_at_the_same_time():
    async def check() -> int:
        slots, held, most = FairSlots(3), 0, 0

        async def work(owner: str) -> None:
            nonlocal held, most
            async with slots.hold(owner):
                held += 1
                most = max(most, held)
                await asyncio.sleep(0)
                held -= 1

        await asyncio.gather(*(work(str(number % 4)) for number in range(40)))
        return most

    assert asyncio.run(check()) == 3


def test_one_owner_leaves_places_to_others_and_gets_its_own_back_in_turn():
    async def check() -> None:
        slots, order = FairSlots(4, leaves_places=True), []

        async def work(owner: str) -> None:
            await slots.acquire(owner)
            order.append(owner)

        tasks = [asyncio.create_task(work("slow")) for _ in range(6)]
        await asyncio.sleep(0)
        assert order == ["slow"] * 3
        tasks += [asyncio.create_task(work(owner)) for owner in ("b", "c")]
        await asyncio.sleep(0)
        assert order[3:] == ["b"], "a place was left for it"
        for owner in ("b", "slow", "c", "slow", "slow", "slow"):
            slots.release(owner)
            await asyncio.sleep(0)
        assert order == ["slow"] * 3 + ["b", "c"] + ["slow"] * 3
        await asyncio.gather(*tasks)

    asyncio.run(check())


@pytest.mark.parametrize(("owners", "rounds"), [(1, 0), (2, 0), (3, 1), (5, 1)])
def test_slow_owners_leave_a_place_for_others_however_many_they_ask_for(owners: int, rounds: int):
    """As namespaces whose webhook takes ten seconds, which come one after the other.

    Two never fill 16 places. More do at first, and leave one when each place was given back once.
    """

    async def check() -> None:
        slots = FairSlots(16, leaves_places=True)
        asking = [asyncio.create_task(slots.acquire(f"slow-{each // 100}")) for each in range(100 * owners)]
        await asyncio.sleep(0)
        for _ in range(rounds):
            for number in [number for number, task in enumerate(asking) if task.done()]:
                slots.release(f"slow-{number // 100}")
            await asyncio.sleep(0)
        for number in range(20):
            async with asyncio.timeout(1), slots.hold(f"quick-{number}"):
                pass
        assert sum(each.done() for each in asking) >= 12 + 10 * rounds, "few places are idle"
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    asyncio.run(check())
