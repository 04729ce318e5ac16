"""Work that nobody waits for goes at a pace."""

from __future__ import annotations

import asyncio

import pytest

from penstock_operator.runtime.rate_limiter import RateLimiter


def test_so_many_a_second_go_through_and_the_first_immediately():
    now, turns = 100.0, []

    async def sleep(pause_s: float) -> None:
        nonlocal now
        now += pause_s

    async def scenario() -> None:
        nonlocal now
        pace = RateLimiter(10.0, clock=lambda: now, sleep=sleep)
        for _ in range(4):
            await pace.step()
            turns.append(now)
        now += 60.0
        for _ in range(2):
            await pace.step()
            turns.append(now)

    asyncio.run(scenario())
    assert turns == pytest.approx([100.0, 100.1, 100.2, 100.3, 160.3, 160.4])
