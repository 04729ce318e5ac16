"""What nobody waits for is done when it is quiet."""

from __future__ import annotations

import asyncio

import pytest

from penstock.kube.idle import AFTER_S, IdleSignal

LONG_S = 600.0


class Clock:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sleeps: list[float] = []

    async def sleep(self, pause_s: float) -> None:
        """Let time pass."""
        self.sleeps.append(pause_s)
        self.now += pause_s
        await asyncio.sleep(0)

    def quiet(self) -> IdleSignal:
        """Return a quiet on this clock."""
        return IdleSignal(clock=lambda: self.now, sleep=self.sleep)


def test_it_is_quiet_at_first_and_a_moment_after_something_happened():
    async def scenario() -> None:
        clock = Clock()
        quiet = clock.quiet()
        await quiet.wait(LONG_S)
        assert clock.sleeps == []
        quiet.disturb()
        await quiet.wait(LONG_S)
        assert clock.sleeps == [pytest.approx(AFTER_S)]

    asyncio.run(scenario())


def test_whoever_waits_goes_on_waiting_while_things_happen():
    async def scenario() -> None:
        clock = Clock()
        quiet = clock.quiet()
        quiet.disturb()
        waiting = asyncio.create_task(quiet.wait(LONG_S))
        for _ in range(5):
            await asyncio.sleep(0)
            quiet.disturb()
        assert not waiting.done()
        await waiting
        assert clock.now >= 100 + 5 * AFTER_S

    asyncio.run(scenario())


def test_it_is_not_quiet_before_the_last_of_what_goes_on_is_over():
    async def scenario() -> None:
        clock = Clock()
        quiet = clock.quiet()
        with quiet.disturbed():
            with quiet.disturbed():
                waiting = asyncio.create_task(quiet.wait(LONG_S))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiting.done()
        await waiting
        assert clock.sleeps

    asyncio.run(scenario())


def test_without_a_moment_it_is_quiet_as_soon_as_the_last_is_over():
    async def scenario() -> None:
        quiet, did = IdleSignal(after_s=0.0), []

        async def wait() -> None:
            await quiet.wait(LONG_S)
            did.append("what waits")

        with quiet.disturbed():
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            did.append("what goes first")
        await waiting
        assert did == ["what goes first", "what waits"]

    asyncio.run(scenario())


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, 0.001])
def test_patience_ends(timeout_s):
    async def scenario() -> None:
        quiet = IdleSignal()
        with quiet.disturbed():
            await quiet.wait(timeout_s)

    asyncio.run(scenario())
