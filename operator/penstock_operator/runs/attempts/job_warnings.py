"""Jobs that may start and have no Pod: what the Job controller says about them, found among its Events.

It tells nowhere else: a Job whose Pod a quota or a policy refuses looks like one whose Pod is just about to come. So
whoever waits longer than a Pod takes to come is looked for among the Events, all of a namespace in one list.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiError, ApiUnreachableError
from penstock.kube.resources import EVENTS

logger = logging.getLogger(__name__)

FIRST_LOOK_S: Final = 2.0
"""A Pod comes within milliseconds; on a busy cluster within this time."""
LONGEST_PAUSE_S: Final = 30.0
PAGE_ITEMS: Final = 500
SELECTOR: Final = "reason=FailedCreate,regarding.kind=Job"

Told = Callable[[str], None]
"""Takes the Job controller's last words about a Job; empty if it has said nothing."""


class _Regarding(msgspec.Struct, frozen=True):
    uid: str = ""


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    regarding: _Regarding = _Regarding()
    note: str = ""
    deprecated_last_timestamp: str | None = None


class _ListMeta(msgspec.Struct, frozen=True):
    continue_token: str = msgspec.field(default="", name="continue")


class _EventList(msgspec.Struct, frozen=True):
    metadata: _ListMeta = _ListMeta()
    items: tuple[_Event, ...] = ()


@dataclass(slots=True)
class _Waiting:
    """The podless Jobs of a namespace, by uid."""

    since: dict[str, float] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class JobWarnings:
    """Looks for the reasons of Jobs that have no Pod.

    Args:
        client: for reads.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._namespaces: dict[str, _Waiting] = {}

    def add(self, namespace: str, uid: str, told: Told) -> None:
        """Take in a Job that has no Pod, until it is discarded; one that is known is left as it is."""
        waiting = self._namespaces.setdefault(namespace, _Waiting())
        waiting.told[uid] = told
        waiting.since.setdefault(uid, time.monotonic())
        if waiting.task is None:
            waiting.task = asyncio.create_task(self._look(namespace, waiting))

    def discard(self, namespace: str, uid: str) -> None:
        """Learn that a Job has a Pod, or needs none any more."""
        waiting = self._namespaces.get(namespace)
        if waiting is not None:
            waiting.since.pop(uid, None)
            waiting.told.pop(uid, None)

    async def close(self) -> None:
        """Look no more."""
        tasks = [waiting.task for waiting in self._namespaces.values() if waiting.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, namespace: str, waiting: _Waiting) -> None:
        pause_s = FIRST_LOOK_S
        while waiting.since:
            await asyncio.sleep(pause_s)
            pause_s = await self._look_once(namespace, waiting, pause_s)
        if self._namespaces.get(namespace) is waiting:
            del self._namespaces[namespace]

    async def _look_once(self, namespace: str, waiting: _Waiting, pause_s: float) -> float:
        """Look for all that have waited long enough; returns the pause before the next look, seconds."""
        now = time.monotonic()
        long = [uid for uid, since in waiting.since.items() if now - since >= FIRST_LOOK_S]
        if not long:
            return FIRST_LOOK_S
        try:
            said = await self._read(namespace)
        except (ApiError, ApiUnreachableError) as error:
            logger.warning("The Events of Jobs in %s can't be read: %s", namespace, error)
        else:
            for uid in long:
                if (told := waiting.told.get(uid)) is not None:
                    told(said.get(uid, ""))
        is_some_new = any(now - since < LONGEST_PAUSE_S for since in waiting.since.values())
        return FIRST_LOOK_S if is_some_new else min(pause_s * 2, LONGEST_PAUSE_S)

    async def _read(self, namespace: str) -> dict[str, str]:
        """Read the Job controller's last words about each Job of a namespace, by uid."""
        last: dict[str, tuple[str, str]] = {}
        token = ""
        while True:
            query = {"fieldSelector": SELECTOR, "limit": str(PAGE_ITEMS)} | ({"continue": token} if token else {})
            reply = await self._client.request("GET", EVENTS.path(namespace), query=query)
            page = msgspec.json.decode(reply.body, type=_EventList)
            for event in page.items:
                at = event.deprecated_last_timestamp or ""
                if at >= last.get(event.regarding.uid, ("", ""))[0]:
                    last[event.regarding.uid] = at, event.note
            token = page.metadata.continue_token
            if not token:
                return {uid: note for uid, (_, note) in last.items()}
