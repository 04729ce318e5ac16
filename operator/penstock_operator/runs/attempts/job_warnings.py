"""Jobs that may start and have no Pod: what the Job controller reports about them in its Events.

It reports this nowhere else: a Job whose Pod is refused by a quota or a policy looks like one whose Pod is about to be
created. So for a Job that waits longer than that takes the Events are read, all of a namespace in one list.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from penstock.engine.backoff import backed_off_s
from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiError, ApiUnreachableError
from penstock.kube.resources import EVENTS

logger = logging.getLogger(__name__)

FIRST_READ_S: Final = 2.0
"""A Pod is created within milliseconds; on a busy cluster within this time."""
LONGEST_PAUSE_S: Final = 30.0
SELECTOR: Final = "reason=FailedCreate,regarding.kind=Job"

OnWarning = Callable[[str], None]
"""Receives the Job controller's latest warning about a Job; empty if there is none."""


class _Regarding(msgspec.Struct, frozen=True):
    uid: str = ""


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    regarding: _Regarding = _Regarding()
    note: str = ""
    deprecated_last_timestamp: str | None = None


@dataclass(slots=True)
class _Waiting:
    """The Jobs without a Pod of a namespace, by uid."""

    since: dict[str, float] = field(default_factory=dict)
    observers: dict[str, OnWarning] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class JobWarnings:
    """Finds out why Jobs have no Pod.

    Args:
        client: for reads.
        on_error: receives an unexpected error, with the namespace.
    """

    def __init__(self, client: ApiClient, *, on_error: Callable[[str, Exception], None]) -> None:
        self._client = client
        self._on_error = on_error
        self._namespaces: dict[str, _Waiting] = {}

    def watch_job(self, namespace: str, uid: str, on_warning: OnWarning) -> None:
        """Look for warnings about a Job that has no Pod, until it is forgotten."""
        waiting = self._namespaces.setdefault(namespace, _Waiting())
        waiting.observers[uid] = on_warning
        waiting.since.setdefault(uid, time.monotonic())
        if waiting.task is None:
            waiting.task = asyncio.create_task(self._poll(namespace, waiting))

    def forget_job(self, namespace: str, uid: str) -> None:
        """Forget a Job that has a Pod, or needs none any more."""
        waiting = self._namespaces.get(namespace)
        if waiting is not None:
            waiting.since.pop(uid, None)
            waiting.observers.pop(uid, None)

    async def close(self) -> None:
        """Stop reading Events."""
        tasks = [waiting.task for waiting in self._namespaces.values() if waiting.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll(self, namespace: str, waiting: _Waiting) -> None:
        turn = 0
        while waiting.since:
            await asyncio.sleep(backed_off_s(FIRST_READ_S, factor=2.0, max_delay_s=LONGEST_PAUSE_S, turn=turn))
            try:
                turn = await self._poll_once(namespace, waiting, turn)
            except Exception as error:  # noqa: BLE001 - who receives it logs it; the other Jobs still wait for an answer
                self._on_error(namespace, error)
        if self._namespaces.get(namespace) is waiting:
            del self._namespaces[namespace]

    async def _poll_once(self, namespace: str, waiting: _Waiting, turn: int) -> int:
        """Read the Events for all Jobs that have waited long enough; returns the number of the next, longer pause."""
        now = time.monotonic()
        long = [uid for uid, since in waiting.since.items() if now - since >= FIRST_READ_S]
        if not long:
            return 0
        try:
            warnings = await self._read_warnings(namespace)
        except (ApiError, ApiUnreachableError, msgspec.DecodeError) as error:
            logger.warning("Failed to read the Events of Jobs in namespace %s; trying again: %s", namespace, error)
        else:
            for uid in long:
                if (on_warning := waiting.observers.get(uid)) is not None:
                    on_warning(warnings.get(uid, ""))
        is_some_new = any(now - since < LONGEST_PAUSE_S for since in waiting.since.values())
        return 0 if is_some_new else turn + 1

    async def _read_warnings(self, namespace: str) -> dict[str, str]:
        """Read the Job controller's latest warning about each Job of a namespace, by uid."""
        last: dict[str, tuple[str, str]] = {}
        async for event in self._client.list(EVENTS, kind=_Event, namespace=namespace, field_selector=SELECTOR):
            at = event.deprecated_last_timestamp or ""
            if at >= last.get(event.regarding.uid, ("", ""))[0]:
                last[event.regarding.uid] = at, event.note
        return {uid: note for uid, (_, note) in last.items()}
