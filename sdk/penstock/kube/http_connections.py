"""Connections to a server that are kept open, for requests whose whole reply is read at once.

With aiohttp half of the CPU time of a write went into what such requests have no use for, and each Pod takes two
(docs/decisions/cost-of-runs.md). Streams, proxies, passwords in the address and bodies that are sent in pieces are left
to aiohttp.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

from penstock.kube.http_reply import InvalidReplyError, Reply, ReplyReader

KEPT_ALIVE_S: Final = 60.0
"""The next burst of work finds its connections, and spares the TLS handshakes. The API server closes what was idle for
90 s."""
HAPPY_EYEBALLS_DELAY_S: Final = 0.25
"""RFC 8305: how long one address family may take before the other is tried as well."""
REPEATABLE: Final = frozenset({"GET", "PUT", "DELETE"})
"""Sent once more, over a new connection, if the server closes a connection without an answer. What others may have
changed is for the caller to find out."""
METHODS: Final = REPEATABLE | {"POST", "PATCH"}
"""Not HEAD: its reply has the length of a body that does not come."""
_UNSAFE_TARGET: Final = re.compile(r"[\x00-\x20\x7f]")
_UNSAFE_VALUE: Final = re.compile(r"[\x00\r\n]")


class ConnectionLostError(ConnectionError):
    """The connection broke before the whole reply came."""

    def __init__(self, message: str, *, is_unanswered: bool) -> None:
        super().__init__(message)
        self.is_unanswered = is_unanswered
        """Whether nothing of a reply came."""


class Address(NamedTuple):
    """Where requests are sent, and how; connections of different ones are never mixed up."""

    server: str
    """URL, may have a path."""
    ssl_context: ssl.SSLContext | None
    """None: the default one, if the URL is of https."""
    server_name: str | None
    """The name that the certificate is checked against; None: the URL's."""


class _Server(NamedTuple):
    host: str
    port: int
    is_tls: bool
    path: str
    host_header: str
    address: str
    """Host and port, for messages."""


class HttpConnections:
    """Sends requests, each over a connection of its own while it lasts.

    Args:
        headers: sent with every request.
        clock: monotonic seconds.
    """

    def __init__(self, headers: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._headers = dict(headers)
        self._clock = clock
        self._address: Address | None = None
        """Of the newest request; only connections of it are kept."""
        self._idle: list[_Connection] = []
        """The one that was used last is last."""
        self._open: set[_Connection] = set()
        self._is_closed = False

    def close(self) -> None:
        """Close all connections; requests in progress fail."""
        self._is_closed = True
        self._idle.clear()
        for connection in list(self._open):
            connection.abort()

    async def request(
        self,
        address: Address,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        connect_timeout_s: float,
        check: Callable[[], None],
    ) -> Reply:
        """Send a request and read the whole reply. A caller that waits no longer cancels this.

        Args:
            address: where to.
            method: one of METHODS.
            target: path and query, encoded.
            headers: in addition to those of every request.
            body: None for none.
            connect_timeout_s: for a new connection, with its TLS handshake.
            check: called when there is a connection, right before the request is sent; what it raises is raised here.

        Raises:
            OSError: there is no connection, it broke or was closed, or the reply cannot be read.
            ValueError: the method or the target cannot be sent.
        """
        message = self._encode(address, method, target, headers, body)
        self._keep_only(address)
        connection = self._take_idle() or await self._connect(address, connect_timeout_s)
        try:
            return await self._exchange(address, connection, message, check)
        except ConnectionLostError as error:
            if method not in REPEATABLE or not error.is_unanswered:
                raise
        # Others that are idle may be as dead: over a new one it is sent twice at most.
        connection = await self._connect(address, connect_timeout_s)
        return await self._exchange(address, connection, message, check)

    async def _exchange(
        self, address: Address, connection: _Connection, message: bytes, check: Callable[[], None]
    ) -> Reply:
        try:
            check()
        except BaseException:
            self._keep(address, connection)
            raise
        sent_at = self._clock()
        try:
            reply = await connection.exchange(message)
        except BaseException:
            # The reply may come yet, and would be taken for the next one.
            connection.abort()
            if not connection.has_answer:
                self._drop_idle(sent_at)
            raise
        connection.worked_at = self._clock()
        if reply.is_last:
            connection.abort()
        else:
            self._keep(address, connection)
        return reply

    def _encode(
        self, address: Address, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> bytes:
        if method not in METHODS:
            raise ValueError(f"{method} {target!r}: the method must be one of {', '.join(sorted(METHODS))}")
        server = _server(address.server)
        target = server.path + target
        lines = [f"{method} {target} HTTP/1.1", f"Host: {server.host_header}"]
        lines += [f"{name}: {value}" for name, value in {**self._headers, **headers}.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        if _UNSAFE_TARGET.search(target) or any(map(_UNSAFE_VALUE.search, lines)):
            raise ValueError(f"{method} {target!r}: a character that ends a line of a request is not allowed")
        head = "\r\n".join((*lines, "\r\n")).encode()
        return head if body is None else head + body

    def _keep_only(self, address: Address) -> None:
        """Send nothing more over the connections of credentials that were replaced."""
        if address != self._address:
            self._address = address
            self._drop_idle(self._clock())

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable and self._clock() - connection.worked_at < KEPT_ALIVE_S:
                return connection
            connection.abort()
        return None

    def _drop_idle(self, until: float) -> None:
        """Close those that have not worked since: a peer that vanished costs each request over them its whole time."""
        for connection in [connection for connection in self._idle if connection.worked_at <= until]:
            self._idle.remove(connection)
            connection.abort()

    def _keep(self, address: Address, connection: _Connection) -> None:
        # A request with credentials that were replaced since may end late.
        if self._is_closed or address != self._address or not connection.is_usable:
            connection.abort()
            return
        self._idle.append(connection)
        if self._clock() - self._idle[0].worked_at >= KEPT_ALIVE_S:
            self._idle.pop(0).abort()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ConnectionError("the client is closed")

    async def _connect(self, address: Address, timeout_s: float) -> _Connection:
        loop, server = asyncio.get_running_loop(), _server(address.server)
        connection = _Connection(self._open, server.address)
        try:
            self._check_open()
            async with asyncio.timeout(timeout_s):
                await loop.create_connection(
                    lambda: connection, server.host, server.port, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY_S
                )
                self._check_open()
                if server.is_tls:
                    context = address.ssl_context or _default_context()
                    await connection.start_tls(context, address.server_name or server.host)
        except BaseException as error:
            connection.abort()
            # A name that no host can have is a ValueError: of the codec for names (UnicodeError), or of ssl.
            if not isinstance(error, OSError | ValueError):
                raise
            # Several addresses may have been tried, each with a reason of its own.
            unnamed = f"not within {timeout_s:g} s" if isinstance(error, TimeoutError) else type(error).__name__
            raise ConnectionError(f"cannot connect to {server.address}: {str(error) or unnamed}") from error
        connection.worked_at = self._clock()
        return connection


class _Connection(asyncio.Protocol):
    """One connection, over which at most one request is in progress.

    Args:
        connections: those that are open; it adds and removes itself.
        peer: host and port, for messages.
    """

    def __init__(self, connections: set[_Connection], peer: str) -> None:
        self.worked_at = 0.0
        """When the server was last seen to answer over it."""
        self.has_answer = False
        """Whether anything of the reply to its last request came."""
        self._connections = connections
        self._peer = peer
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Reply] | None = None
        self._reader: ReplyReader | None = None

    @property
    def is_usable(self) -> bool:
        """Whether a request may be sent over it."""
        return self._transport is not None and not self._transport.is_closing()

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Encrypt what is sent, and check the server's certificate."""
        loop, encrypted = asyncio.get_running_loop(), None
        if self._transport is not None:
            encrypted = await loop.start_tls(self._transport, self, context, server_hostname=server_name)
        if encrypted is None:
            raise ConnectionLostError(f"{self._peer} closed the connection", is_unanswered=True)
        self._transport = encrypted

    async def exchange(self, message: bytes) -> Reply:
        """Send a request and wait for its reply."""
        self._reader, self.has_answer = ReplyReader(), False
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionLostError(f"{self._peer} closed the connection", is_unanswered=True)
        waiting: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        transport.write(message)
        try:
            return await waiting
        finally:
            self._waiting = None

    def abort(self) -> None:
        """Close it at once: a peer that vanished does not answer a TLS shutdown."""
        # asyncio does not report the end of a connection during its TLS handshake.
        self._connections.discard(self)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; not called for TLS, which comes on top."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Handle a piece of a reply."""
        if self._waiting is None or self._reader is None:
            # Nothing was asked for: whatever it is, it must not become the reply to the next request.
            self.abort()
            return
        self.has_answer = True
        try:
            reply = self._reader.feed(data)
        except InvalidReplyError as error:
            self._end(error)
            self.abort()
            return
        if reply is not None:
            self._reader = None
            self._end(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the connection."""
        self._connections.discard(self)
        self._transport = None
        try:
            reply = None if self._reader is None else self._reader.finish()
        except InvalidReplyError:
            reply = None
        if reply is not None and exc is None:
            self._end(reply)
        else:
            closed = f"{self._peer} closed the connection"
            text = closed if exc is None else f"the connection to {self._peer} broke: {exc}"
            self._end(ConnectionLostError(text, is_unanswered=not self.has_answer))

    def _end(self, result: Reply | Exception) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.done():
            return
        if isinstance(result, Exception):
            waiting.set_exception(result)
        else:
            waiting.set_result(result)


@lru_cache
def _server(url: str) -> _Server:
    try:
        parts = urlsplit(url)
        name, given_port = parts.hostname, parts.port
    except ValueError as error:
        raise ConnectionError(f"{url!r} is not the address of a server: {error}") from error
    if name is None or parts.scheme not in ("http", "https"):
        raise ConnectionError(f"{url!r} is not the address of a server")
    is_tls = parts.scheme == "https"
    usual_port = 443 if is_tls else 80
    port = given_port or usual_port
    host = f"[{name}]" if ":" in name else name
    address = f"{host}:{port}"
    return _Server(name, port, is_tls, parts.path.rstrip("/"), host if port == usual_port else address, address)


@lru_cache
def _default_context() -> ssl.SSLContext:
    return ssl.create_default_context()
