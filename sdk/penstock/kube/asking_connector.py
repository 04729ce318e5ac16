"""How aiohttp's requests are kept from being sent once this process must not write any more."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

import aiohttp
from aiohttp.tracing import Trace

CHECK: ContextVar[Callable[[], None] | None] = ContextVar("check", default=None)
"""Of the request that this task sends."""


class AskingConnector(aiohttp.TCPConnector):
    """Asks again when a request has its connection: to get one may take long, and the process may be paused.

    aiohttp's own hooks would say so too, but having any costs a dozen calls for each request.
    """

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> aiohttp.connector.Connection:
        """Return the connection of a request that may be sent."""
        connection = await super().connect(req, traces, timeout)
        check = CHECK.get()
        if check is not None:
            try:
                check()
            except BaseException:
                connection.release()
                raise
        return connection
