"""Threads for what may wait seconds for an expression, so that the event loop never does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from penstock.kube.fair_slots import FairSlots
from penstock_operator.runtime.expression_workers import allow_waiting

THREADS: Final = 4

Result = TypeVar("Result")


class SlowPool:
    """Runs functions in threads: a few at a time, and each namespace's in turn."""

    def __init__(self) -> None:
        self._slots = FairSlots(THREADS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="slow", initializer=allow_waiting)

    @asynccontextmanager
    async def hold(self, namespace: str) -> AsyncIterator[None]:
        """Hold a place for `call`.

        Args:
            namespace: of the object that it is about.
        """
        async with self._slots.hold(namespace):
            yield

    async def call(self, function: Callable[[], Result]) -> Result:
        """Run a function in a place that is held. It may block; it is not ended when the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
