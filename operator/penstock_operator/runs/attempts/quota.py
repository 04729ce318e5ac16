"""The gate of a namespace where a quota refuses Pods: which creates wait, and when to try again.

A quota may be full for all, or for those alone that ask for much or are of one priority class. So a task whose Pod was
refused waits, and all its items with it; another task is tried, until so many have been refused that the quota is full
for all. Those that wait are tried in turn when a Pod of ours in the namespace has ended, and after a pause in any case,
because others use the quota too.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from penstock.engine.backoff import backed_off_s

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
MOST_REFUSED: Final = 8
"""Tasks: while so many wait, no other is tried before its turn. Also how many are refused after each pause."""
REFUSED_WHEN_FREED: Final = 2
"""The same when a Pod has ended: then one create succeeds at most, usually."""

Attempt = Callable[[], Awaitable[bool]]
"""Tries a create again; true when the quota did not refuse it."""


@dataclass(slots=True)
class _Gate:
    """Of one namespace."""

    waiting: OrderedDict[Hashable, deque[Attempt]] = field(default_factory=OrderedDict)
    """By task; the one whose turn is next is first."""
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    probe: asyncio.Task[None] | None = None


class QuotaGates:
    """The gates of all namespaces. An open gate costs nothing."""

    def __init__(self) -> None:
        self._gates: dict[str, _Gate] = {}

    def is_closed(self, namespace: str, task: Hashable) -> bool:
        """Whether creates of a task in a namespace have to wait."""
        gate = self._gates.get(namespace)
        return gate is not None and (task in gate.waiting or len(gate.waiting) >= MOST_REFUSED)

    def add_create(self, namespace: str, task: Hashable, attempt: Attempt) -> None:
        """Put a create of a task behind the gate, which closes it for that task."""
        gate = self._gates.setdefault(namespace, _Gate())
        gate.waiting.setdefault(task, deque()).append(attempt)
        if gate.probe is None:
            gate.probe = asyncio.create_task(self._probe(namespace, gate))

    def report_freed_quota(self, namespace: str) -> None:
        """Note that a Pod of ours in a namespace has ended."""
        gate = self._gates.get(namespace)
        if gate is not None:
            gate.freed.set()

    async def _probe(self, namespace: str, gate: _Gate) -> None:
        turn = 0
        try:
            while gate.waiting:
                pause_s = backed_off_s(FIRST_PAUSE_S, factor=2.0, max_delay_s=LONGEST_PAUSE_S, turn=turn)
                may_refuse = REFUSED_WHEN_FREED
                try:
                    async with asyncio.timeout(pause_s):
                        await gate.freed.wait()
                except TimeoutError:
                    turn += 1
                    may_refuse = MOST_REFUSED
                gate.freed.clear()
                if await _try_in_turn(gate, may_refuse):
                    turn = 0
        finally:
            del self._gates[namespace]


async def _try_in_turn(gate: _Gate, may_refuse: int) -> bool:
    """Try the creates of each task until one is refused; returns whether any was not.

    Args:
        gate: where they wait.
        may_refuse: tasks that are refused before the others keep waiting.
    """
    is_any_done = False
    for task in list(gate.waiting):
        creates = gate.waiting[task]
        while creates and await creates[0]():
            creates.popleft()
            is_any_done = True
        if not creates:
            del gate.waiting[task]
            continue
        gate.waiting.move_to_end(task)
        may_refuse -= 1
        if not may_refuse:
            break
    return is_any_done
