from __future__ import annotations

import asyncio

from penstock_operator.precedence import Precedence


def test_the_second_kind_begins_when_none_of_the_first_is_under_way():
    async def act() -> list[str]:
        precedence, did = Precedence(3600.0), []

        async def second() -> None:
            await precedence.give_way()
            did.append("second")

        await precedence.give_way()
        with precedence.first():
            waiting = asyncio.create_task(second())
            with precedence.first():
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            did.append("first")
        await waiting
        return did

    assert asyncio.run(act()) == ["first", "second"]


def test_the_second_kind_is_not_held_back_for_ever():
    async def act() -> None:
        precedence = Precedence(0.001)
        with precedence.first():
            await precedence.give_way()

    asyncio.run(act())
