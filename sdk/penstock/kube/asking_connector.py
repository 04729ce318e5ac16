"""How aiohttp's requests are kept from being sent once this process must not write any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.tracing import Trace

CHECK: ContextVar[Callable[[], None] | None] = ContextVar("check", default=None)
"""Of the request that this task sends."""


class AskingConnector(aiohttp.TCPConnector):
    """Asks again when a request has its connection: to get one may take long, and the process may be paused.

    aiohttp's own hooks would say so too, but having any costs a dozen calls for each request.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._transports: WeakSet[asyncio.Transport] = WeakSet()

    def abort(self) -> None:
        """Close all connections at once.

        aiohttp does not wait for those of requests that were cancelled: their sockets would outlive the event loop.
        """
        for transport in list(self._transports):
            transport.abort()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> aiohttp.connector.Connection:
        """Return the connection of a request that may be sent."""
        connection = await super().connect(req, traces, timeout)
        if connection.transport is not None:
            self._transports.add(connection.transport)
        check = CHECK.get()
        if check is not None:
            try:
                check()
            except BaseException:
                connection.release()
                raise
        return connection
