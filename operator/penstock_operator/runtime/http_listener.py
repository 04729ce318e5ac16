"""A port that serves HTTP, with bounds for what its clients can hold: connections, and time for each part of a request.

aiohttp bounds the size of a request, and how long a connection may be idle; not the number of connections, nor the time
to send a request or to read its reply. So the sockets are accepted here, and every connection is watched.

When all connections are in use, a new one takes the place of one that waits for its client: first of clients that have
not proved who they are, then of the address with most connections, then the one that has waited longest. So a client
that holds many connections and sends nothing, or sends slowly, takes them from itself and not from others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from penstock.kube.errors import ConfigurationError

logger = logging.getLogger(__name__)

BACKLOG: Final = 128
ACCEPTED_AT_ONCE: Final = 16
ACCEPT_PAUSE_S: Final = 1.0
"""After an error of accepting, such as too many open files."""
MAX_HEAD_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 64
HEAD_END: Final = b"\r\n\r\n"
LINGER_S: Final = 2.0
"""How long the rest of a body is read after its request was refused, so that the client sees the reply."""
SHUTDOWN_S: Final = 5.0
REPORTED_EVERY_S: Final = 60.0
GRACE_S: Final = 1.0
"""A body that comes too late gets a reply that says so; its connection ends so much later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What the clients of one port can hold."""

    connections: int = 256
    """More wait in the kernel's queue if none of these waits for its client."""
    handshake_s: float = 5.0
    """For TLS."""
    head_s: float = 10.0
    """For the request line and the headers, from the connection or from their first byte."""
    body_s: float = 10.0
    reply_s: float = 10.0
    """For the client to read the reply."""
    idle_s: float = 120.0
    """Between two requests. Longer than the API server (90 s) and usual proxies (60 s) keep a connection that is idle:
    a request that meets the end of its connection is lost."""


class _Phase(Enum):
    """What a connection waits for: its client, but for WORK."""

    HANDSHAKE = auto()
    HEAD = auto()
    BODY = auto()
    WORK = auto()
    REPLY = auto()
    IDLE = auto()
    ENDED = auto()


class Connection(asyncio.Protocol):
    """One connection: passes everything on to aiohttp, and ends when its client takes too long."""

    def __init__(self, listener: HttpListener, limits: ConnectionLimits, peer: str) -> None:
        self.peer = peer
        self.is_trusted = False
        """Whether its client has proved who it is."""
        self.waits_since: float | None = None
        """Since when it waits for its client, on the loop's clock; None: it does not."""
        self.opening: asyncio.Task[None] | None = None
        """Ends with the TLS handshake."""
        self._listener = listener
        self._limits = limits
        self._deadlines_s = {
            _Phase.HEAD: limits.head_s,
            _Phase.BODY: limits.body_s + GRACE_S,
            _Phase.REPLY: limits.reply_s,
            _Phase.IDLE: limits.idle_s,
        }
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.http: web.RequestHandler | None = None
        """Speaks HTTP; None during the TLS handshake."""
        self._request: web.Request | None = None
        self._head_end = b""
        self._is_head_complete = False
        self._head_bytes = 0
        self._phase = _Phase.HANDSHAKE
        self._enter(_Phase.HANDSHAKE)

    # For handlers

    def trust(self) -> None:
        """Record that the client has proved who it is."""
        self.is_trusted = True

    async def read_body(self) -> bytes:
        """Read the body of the request that is being handled.

        Raises:
            HTTPRequestTimeout: it did not come in time.
            HTTPRequestEntityTooLarge: it is larger than the application accepts.
            HTTPBadRequest: it ended early.
        """
        assert self._request is not None
        self._enter(_Phase.BODY)
        try:
            async with asyncio.timeout(self._limits.body_s):
                return await self._request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="timed out reading the body\n") from None
        except (ConnectionError, web.RequestPayloadError) as error:
            raise web.HTTPBadRequest(text="the body is incomplete\n") from error
        finally:
            self._enter(_Phase.WORK)

    # For the listener

    def begin(self, request: web.Request) -> None:
        """Begin to handle a request: its head is complete."""
        self._request = request
        self._head_bytes = 0
        self._enter(_Phase.WORK)

    async def reply(self, response: web.StreamResponse) -> None:
        """Send the reply to the request that is being handled."""
        assert self._request is not None
        self._enter(_Phase.REPLY)
        # aiohttp sends it again, which does nothing unless the connection is lost: then that finds it out.
        with contextlib.suppress(ConnectionError):
            await response.prepare(self._request)
            await response.write_eof()
        if self._request.content.is_eof():
            self._enter(_Phase.IDLE)

    def abort(self) -> None:
        """End the connection now."""
        self._end()
        if self._transport is not None:
            self._transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def _enter(self, phase: _Phase) -> None:
        if self._phase is _Phase.ENDED:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._phase = phase
        seconds = self._deadlines_s.get(phase)
        self._timer = None if seconds is None else self._loop.call_later(seconds, self.abort)
        self.waits_since = None if phase is _Phase.WORK else self._loop.time()
        self._listener.on_change()

    def _end(self) -> None:
        self._listener.forget_connection(self)
        self._enter(_Phase.ENDED)

    # For the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._enter(_Phase.HEAD)
        self.http = self._listener.serve(self)
        self.http.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what the client sends."""
        assert self.http is not None
        self._count(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self.abort()
        else:
            self.http.data_received(data)

    def _count(self, data: bytes) -> None:
        """Count the bytes that no handler waits for: of a head that is not complete, or of further requests."""
        if self._phase is _Phase.IDLE:
            self._head_end, self._is_head_complete, self._head_bytes = b"", False, 0
            self._enter(_Phase.HEAD)
        if self._phase is _Phase.HEAD:
            seen = self._head_end + (data if self._head_bytes else data.lstrip(b"\r\n"))
            self._is_head_complete |= HEAD_END in seen
            self._head_end = seen[1 - len(HEAD_END) :]
            self._head_bytes += 0 if self._is_head_complete else len(data)
        elif self._request is not None and self._request.content.is_eof():
            self._head_bytes += len(data)

    def eof_received(self) -> bool | None:
        """Pass on that the client sends nothing more."""
        assert self.http is not None
        self.http.eof_received()
        return None

    def pause_writing(self) -> None:
        """Pass on that the client does not read."""
        assert self.http is not None
        self.http.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client reads again."""
        assert self.http is not None
        self.http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on that the connection has ended."""
        assert self.http is not None
        self._end()
        self.http.connection_lost(exc)


CONNECTION: Final = web.RequestKey("CONNECTION", Connection)
"""The connection of a request, for its handler."""


class HttpListener:
    """Serves an application on one port until stopped.

    Args:
        app: what to serve; its handlers find the `CONNECTION` in their requests.
        address: to listen on.
        port: to listen on; 0: any free one.
        context: for TLS; None: without.
        limits: what clients can hold.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        address: str,
        port: int,
        context: ssl.SSLContext | None = None,
        limits: ConnectionLimits,
    ) -> None:
        app.middlewares.insert(0, self._handle)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_S,
            lingering_time=LINGER_S,
            max_headers=MAX_HEADERS,
            # Otherwise requests of clients that have gone would not count as connections, and pile up.
            handler_cancellation=True,
            auto_decompress=False,
        )
        self._address = address
        self.port = port
        """The port in use, once started."""
        self._context = context
        self._limits = limits
        self._socket: socket.socket | None = None
        self._is_accepting = False
        self._resting: asyncio.TimerHandle | None = None
        self._open: dict[Connection, None] = {}
        self._by_protocol: dict[asyncio.BaseProtocol, Connection] = {}
        self._displaced = 0
        self._reported_at = float("-inf")

    async def start(self) -> None:
        """Start to listen.

        Raises:
            ConfigurationError: cannot listen on the address.
        """
        loop = asyncio.get_running_loop()
        await self._runner.setup()
        try:
            found = await loop.getaddrinfo(self._address, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, _, _, _, where = found[0]
            self._socket = socket.create_server(where, family=family, backlog=BACKLOG)
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {self._address}:{self.port}: {error}") from error
        self._socket.settimeout(0)
        self.port = int(self._socket.getsockname()[1])
        self._resume()

    async def stop(self) -> None:
        """Stop; requests in progress get a few seconds."""
        if self._resting is not None:
            self._resting.cancel()
        if self._socket is not None:
            self._pause()
            self._socket.close()
            self._socket = None
        opening = [connection.opening for connection in self._open if connection.opening is not None]
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        await self._runner.cleanup()

    # For connections

    def serve(self, connection: Connection) -> web.RequestHandler:
        """Return what speaks HTTP on a new connection."""
        server = self._runner.server
        assert server is not None
        protocol = server()
        self._by_protocol[protocol] = connection
        return protocol

    def forget_connection(self, connection: Connection) -> None:
        """Drop a connection that ends."""
        self._open.pop(connection, None)
        if connection.http is not None:
            self._by_protocol.pop(connection.http, None)

    def on_change(self) -> None:
        """Accept connections again, if there may be room again."""
        if not self._is_accepting and self._resting is None and self._socket is not None:
            self._resume()

    # Connections come in

    def _resume(self) -> None:
        self._resting = None
        assert self._socket is not None
        asyncio.get_running_loop().add_reader(self._socket, self._accept)
        self._is_accepting = True

    def _pause(self) -> None:
        assert self._socket is not None
        asyncio.get_running_loop().remove_reader(self._socket)
        self._is_accepting = False

    def _accept(self) -> None:
        assert self._socket is not None
        for _ in range(ACCEPTED_AT_ONCE):
            displaced = None
            if len(self._open) >= self._limits.connections:
                displaced = self._next_displaced()
                if displaced is None:
                    self._pause()
                    return
            try:
                accepted, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                logger.warning("Cannot accept connections on port %d; trying again: %s", self.port, error)
                self._pause()
                self._resting = asyncio.get_running_loop().call_later(ACCEPT_PAUSE_S, self._resume)
                return
            if displaced is not None:
                displaced.abort()
                self._report_displaced()
            accepted.settimeout(0)
            connection = Connection(self, self._limits, str(address[0]))
            self._open[connection] = None
            connection.opening = task = asyncio.create_task(self._open_connection(connection, accepted))
            task.add_done_callback(partial(self._on_opened, connection, accepted))

    async def _open_connection(self, connection: Connection, accepted: socket.socket) -> None:
        handshake_s = None if self._context is None else self._limits.handshake_s
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, accepted, ssl=self._context, ssl_handshake_timeout=handshake_s
            )
        except OSError as error:
            logger.debug("Connection from %s ended in its TLS handshake: %s", connection.peer, error)

    def _on_opened(self, connection: Connection, accepted: socket.socket, _task: asyncio.Task[None]) -> None:
        connection.opening = None
        if connection.http is None:
            # The handshake failed, or the task ended before it began.
            accepted.close()
            self.forget_connection(connection)
            self.on_change()

    def _next_displaced(self) -> Connection | None:
        """Choose the connection whose place a new one takes; None if none waits for its client."""
        held = Counter(connection.peer for connection in self._open)
        waiting = [(one, one.waits_since) for one in self._open if one.waits_since is not None]
        if not waiting:
            return None
        return max(waiting, key=lambda pair: (not pair[0].is_trusted, held[pair[0].peer], -pair[1]))[0]

    def _report_displaced(self) -> None:
        self._displaced += 1
        now = asyncio.get_running_loop().time()
        if now - self._reported_at >= REPORTED_EVERY_S:
            logger.warning(
                "More than %d connections to port %d: closed %d that were waiting for data from their clients",
                self._limits.connections,
                self.port,
                self._displaced,
            )
            self._displaced, self._reported_at = 0, now

    # Requests come in

    @web.middleware
    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = self._by_protocol.get(request.protocol)
        if connection is None:
            raise web.HTTPServiceUnavailable
        request[CONNECTION] = connection
        connection.begin(request)
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            await connection.reply(refusal)
            raise
        await connection.reply(response)
        return response
