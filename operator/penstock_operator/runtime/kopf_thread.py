"""kopf: watches Flows, Schedules and Backfills in a thread of its own, and hands what it sees to the engine.

Its own thread, because when a kopf operator stops it cancels every task of its event loop. It handles nothing
itself and writes nothing: no annotation, no finalizer, no copy of a spec. It sees no FlowRuns: there may be hundreds a
second, and an event costs it twenty times what it costs a reflector.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import kopf

from penstock.api import names
from penstock.kube.connection import Connection
from penstock.kube.reflector import EventType
from penstock.kube.resources import BACKFILLS, FLOWS, SCHEDULES, Resource

logger = logging.getLogger(__name__)

PAGE_ITEMS: Final = 500
LONGEST_BACKOFF_S: Final = 30.0
STOP_S: Final = 10.0

Receive = Callable[[EventType, Mapping[str, Any]], None]
"""Takes a change of an object, in the engine's thread."""


@dataclass(frozen=True, slots=True)
class Receivers:
    """Who is told of what."""

    flow: Receive
    schedule: Receive
    backfill: Receive


class KopfThread:
    """Runs a kopf operator in a thread.

    Args:
        connection: the way to the API server.
        namespace: the one to watch; empty for all.
        receivers: who is told of what, in the loop that this is constructed in.
        failed: called in that loop when kopf ends by itself.
    """

    def __init__(
        self, connection: Connection, *, namespace: str, receivers: Receivers, failed: Callable[[BaseException], None]
    ) -> None:
        self._connection = connection
        self._namespace = namespace
        self._receivers = receivers
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    async def stop(self) -> None:
        """End, and wait until the thread has."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, STOP_S)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        failure: BaseException = RuntimeError("kopf ended by itself")
        try:
            asyncio.run(
                kopf.operator(
                    registry=self._registry(),
                    settings=_settings(),
                    standalone=True,
                    clusterwide=not self._namespace,
                    namespaces=[self._namespace] if self._namespace else [],
                    stop_flag=self._stop,
                )
            )
        except Exception as error:  # noqa: BLE001 - handed to the loop that decides
            failure = error
        if not self._stop.is_set():
            self._loop.call_soon_threadsafe(self._failed, failure)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.AiohttpSession:
            # Called anew when the API server refuses the credentials.
            await asyncio.to_thread(self._connection.reload)
            context = self._connection.ssl_context
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=True if context is None else context),
                headers=self._connection.headers,
            )
            return kopf.AiohttpSession(server=self._connection.server, aiohttp_session=session)

        for resource, receive in (
            (FLOWS, self._receivers.flow),
            (SCHEDULES, self._receivers.schedule),
            (BACKFILLS, self._receivers.backfill),
        ):
            self._hand_on(registry, resource, receive)
        return registry

    def _hand_on(self, registry: kopf.OperatorRegistry, resource: Resource, receive: Receive) -> None:
        @kopf.on.event(resource.group, resource.version, resource.plural, registry=registry)
        def hand_on(event: kopf.RawEvent, **_: Any) -> None:
            # An initial listing has no type: the object is there, whether or not it is new to us.
            kind = EventType(event["type"] or EventType.ADDED)
            self._loop.call_soon_threadsafe(receive, kind, event["object"])


class _NoDiffBase(kopf.DiffBaseStorage):
    """Stores no copy of a spec, and builds none: nothing here asks for differences."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:  # noqa: ARG002 - kopf's signature
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002 - kopf's signature
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


class _EndlessBackoff(Collection[float]):
    """Pauses of a request that fails, without an end: an operator that gives up helps nobody."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.5, 1.0, 2.0, 5.0, 10.0), itertools.repeat(LONGEST_BACKOFF_S))

    def __len__(self) -> int:
        return 1_000_000

    def __contains__(self, pause: object) -> bool:
        return isinstance(pause, float)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.persistence.finalizer = f"{names.GROUP}/kopf"
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = kopf.StatusProgressStorage(name="penstock")
    settings.watching.chunk_size = PAGE_ITEMS
    settings.queueing.idle_timeout = 0.3
    settings.networking.error_backoffs = _EndlessBackoff()
    return settings
