"""Waiting for a condition without sleeping: whoever changes something says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

DEADLINE_S = 30.0


class Changes:
    """Wakes those who wait for a condition whenever something changed.

    Args:
        describe: the present state, for the message of a wait that ends in vain.
    """

    def __init__(self, describe: Callable[[], str]) -> None:
        self._describe = describe
        self._changed = asyncio.Event()

    def touch(self) -> None:
        """Say that something changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> None:
        """Wait until a condition holds; fail with the last state seen."""
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"waited {within_s:g} s for {what}; {self._describe()}") from None
