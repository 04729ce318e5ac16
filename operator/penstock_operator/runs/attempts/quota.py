"""The gate of a namespace whose quota is full: who waits, and when to try again.

A full quota refuses every Pod, so all but one stop asking. The one at the front is the probe: it asks when a Pod
of ours in the namespace has ended, and after a while in any case, because others use the quota too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0

Attempt = Callable[[], Awaitable[bool]]
"""Tries a create again; true when the quota did not refuse it."""


class QuotaGates:
    """The gates of all namespaces. An open gate costs nothing."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Attempt]] = {}
        self._room: dict[str, asyncio.Event] = {}
        self._probes: dict[str, asyncio.Task[None]] = {}

    def is_closed(self, namespace: str) -> bool:
        """Whether creates in a namespace have to wait."""
        return namespace in self._waiting

    def wait(self, namespace: str, attempt: Attempt) -> None:
        """Put a create behind the gate, which closes it."""
        if namespace in self._waiting:
            self._waiting[namespace].append(attempt)
            return
        self._waiting[namespace] = deque([attempt])
        self._room[namespace] = asyncio.Event()
        self._probes[namespace] = asyncio.create_task(self._probe(namespace))

    def notice_room(self, namespace: str) -> None:
        """Learn that a Pod of ours in a namespace has ended."""
        room = self._room.get(namespace)
        if room is not None:
            room.set()

    async def _probe(self, namespace: str) -> None:
        waiting, room = self._waiting[namespace], self._room[namespace]
        pause_s = FIRST_PAUSE_S
        try:
            while waiting:
                try:
                    async with asyncio.timeout(pause_s):
                        await room.wait()
                except TimeoutError:
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                room.clear()
                while waiting and await waiting[0]():
                    waiting.popleft()
                    pause_s = FIRST_PAUSE_S
        finally:
            del self._waiting[namespace], self._room[namespace], self._probes[namespace]
