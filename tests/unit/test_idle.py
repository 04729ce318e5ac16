"""Work that nothing waits for is done when nothing else is in progress."""

from __future__ import annotations

import asyncio

import pytest

from penstock.kube.idle import MOMENT_S, IdleSignal

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

    def signal(self) -> IdleSignal:
        """Return a signal on this clock."""
        return IdleSignal(clock=lambda: self.now, sleep=self.sleep)


def test_it_is_idle_at_first_and_a_moment_after_something_happened():
    async def scenario() -> None:
        clock = Clock()
        signal = clock.signal()
        await signal.wait(LONG_S)
        assert clock.sleeps == []
        signal.touch()
        await signal.wait(LONG_S)
        assert clock.sleeps == [pytest.approx(MOMENT_S)]

    asyncio.run(scenario())


def test_a_waiting_caller_continues_to_wait_while_things_happen():
    async def scenario() -> None:
        clock = Clock()
        signal = clock.signal()
        signal.touch()
        waiting = asyncio.create_task(signal.wait(LONG_S))
        for _ in range(5):
            await asyncio.sleep(0)
            signal.touch()
        assert not waiting.done()
        await waiting
        assert clock.now >= 100 + 5 * MOMENT_S

    asyncio.run(scenario())


def test_it_is_not_idle_before_the_last_of_what_is_in_progress_has_ended():
    async def scenario() -> None:
        clock = Clock()
        signal = clock.signal()
        with signal.busy():
            with signal.busy():
                waiting = asyncio.create_task(signal.wait(LONG_S))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiting.done()
        await waiting
        assert clock.sleeps

    asyncio.run(scenario())


def test_without_a_moment_it_is_idle_as_soon_as_the_last_has_ended():
    async def scenario() -> None:
        signal, done = IdleSignal(moment_s=0.0), []

        async def wait() -> None:
            await signal.wait(LONG_S)
            done.append("what waits")

        with signal.busy():
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            done.append("what goes first")
        await waiting
        assert done == ["what goes first", "what waits"]

    asyncio.run(scenario())


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, 0.001])
def test_waiting_ends_at_the_timeout(timeout_s):
    async def scenario() -> None:
        signal = IdleSignal()
        with signal.busy():
            await signal.wait(timeout_s)

    asyncio.run(scenario())
