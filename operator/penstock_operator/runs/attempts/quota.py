"""The gate of a namespace whose quota is full: which creates wait, and when to try again.

A full quota refuses every Pod, so all creates but one wait. The first is the probe: it is sent when a Pod of ours in
the namespace has ended, and after a pause in any case, because others use the quota too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from penstock.engine.backoff import backed_off_s

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0

Attempt = Callable[[], Awaitable[bool]]
"""Tries a create again; true when the quota did not refuse it."""


class QuotaGates:
    """The gates of all namespaces. An open gate costs nothing."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Attempt]] = {}
        self._freed: dict[str, asyncio.Event] = {}
        self._probes: dict[str, asyncio.Task[None]] = {}

    def is_closed(self, namespace: str) -> bool:
        """Whether creates in a namespace have to wait."""
        return namespace in self._waiting

    def add_create(self, namespace: str, attempt: Attempt) -> None:
        """Put a create behind the gate, which closes it."""
        if namespace in self._waiting:
            self._waiting[namespace].append(attempt)
            return
        self._waiting[namespace] = deque([attempt])
        self._freed[namespace] = asyncio.Event()
        self._probes[namespace] = asyncio.create_task(self._probe(namespace))

    def report_freed_quota(self, namespace: str) -> None:
        """Note that a Pod of ours in a namespace has ended."""
        freed = self._freed.get(namespace)
        if freed is not None:
            freed.set()

    async def _probe(self, namespace: str) -> None:
        waiting, freed = self._waiting[namespace], self._freed[namespace]
        turn = 0
        try:
            while waiting:
                pause_s = backed_off_s(FIRST_PAUSE_S, factor=2.0, max_delay_s=LONGEST_PAUSE_S, turn=turn)
                try:
                    async with asyncio.timeout(pause_s):
                        await freed.wait()
                except TimeoutError:
                    turn += 1
                freed.clear()
                while waiting and await waiting[0]():
                    waiting.popleft()
                    turn = 0
        finally:
            del self._waiting[namespace], self._freed[namespace], self._probes[namespace]
