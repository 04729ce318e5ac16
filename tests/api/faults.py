"""A loopback proxy in front of the real API server that breaks the connection in the ways that networks do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import aiohttp
from aiohttp import web

from penstock.kube.connection import Connection
from tests.api.waiting import Changes

HOP_HEADERS = ("Host", "Connection", "Transfer-Encoding", "Content-Length")


class Seen(NamedTuple):
    """A request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    authorization: str

    @property
    def is_watch(self) -> bool:
        return "watch" in self.query

    @property
    def is_list(self) -> bool:
        return self.method == "GET" and "limit" in self.query


Matcher = Callable[[Seen], bool]


@dataclass
class Fault:
    """What happens to requests that match, so many times (None: until removed)."""

    matches: Matcher
    times: int | None = None
    status: int = 0
    """Answer with this, instead of asking the API server."""
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    lose_reply: bool = False
    """Let the API server act, then cut the connection."""
    cut: bool = False
    """Cut the connection at once."""
    hang: bool = False
    """Never answer."""
    first_line: dict | None = None
    """Answer with a stream of this one watch event, and end it."""
    body: bytes = b""
    """Answer with this."""


@dataclass
class Hold:
    """Requests that match wait, and watches say nothing, until they are released; then nothing of it is lost."""

    matches: Matcher
    released: asyncio.Event = field(default_factory=asyncio.Event)


class FaultProxy:
    """Passes everything on, except what a fault says; use as an async context manager."""

    def __init__(self, connection: Connection) -> None:
        self._upstream = connection
        self.faults: list[Fault] = []
        self.holds: list[Hold] = []
        self.seen: list[Seen] = []
        self.changes = Changes(lambda: f"requests seen: {self.seen[-8:]}, streams open: {len(self._streams)}")
        self._streams: dict[int, web.StreamResponse] = {}
        self._requests: dict[int, web.Request] = {}
        self._is_flowing = asyncio.Event()
        self._is_flowing.set()
        self._hangs_end = asyncio.Event()
        self._port = 0

    async def __aenter__(self) -> Self:
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        connector = aiohttp.TCPConnector(socket_factory=self._open_socket)
        self._session = aiohttp.ClientSession(auto_decompress=False, connector=connector)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_flowing.set()
        for held in self.holds:
            held.released.set()
        self.cut_streams()
        await self._runner.cleanup()
        await self._session.close()
        # A TLS connection that is closed in good manners would outlive the test.
        for connected in list(self._sockets):
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def _open_socket(self, address: tuple) -> socket.socket:
        opened = socket.socket(address[0], address[1], address[2])
        opened.setblocking(False)  # noqa: FBT003 - the standard library takes it by position only
        self._sockets.add(opened)
        return opened

    @property
    def connection(self) -> Connection:
        """The way through this proxy."""
        return Connection(f"http://127.0.0.1:{self._port}", headers=self._upstream.headers)

    def fail(self, matches: Matcher, **what: Any) -> Fault:
        fault = Fault(matches, **what)
        self.faults.append(fault)
        return fault

    def hold(self, matches: Matcher) -> Hold:
        """Let requests fall behind all others; of a watch, open already or not, what it says."""
        held = Hold(matches)
        self.holds.append(held)
        return held

    def cut_streams(self) -> None:
        """Cut every open watch, as a load balancer or a killed API server does."""
        for request in list(self._requests.values()):
            if request.transport is not None:
                request.transport.abort()

    def end_hangs(self) -> None:
        """Cut the connections of requests that were never to be answered."""
        self._hangs_end.set()
        self._hangs_end = asyncio.Event()

    def stall_streams(self) -> None:
        """Leave every watch open and say nothing more: a peer that vanished without a word."""
        self._is_flowing.clear()

    def flow(self) -> None:
        self._is_flowing.set()

    async def inject(self, event: dict) -> None:
        """Put an event of our own into every open watch."""
        await self.inject_line(json.dumps(event).encode())

    async def inject_line(self, line: bytes) -> None:
        """Put anything into every open watch."""
        for stream in self._streams.values():
            await stream.write(line + b"\n")

    async def wait_for_streams(self, count: int) -> None:
        await self.changes.until(lambda: len(self._streams) == count, f"{count} streams to be open")

    def count(self, matches: Matcher) -> int:
        return sum(1 for seen in self.seen if matches(seen))

    async def wait_for_requests(self, matches: Matcher, count: int) -> None:
        await self.changes.until(lambda: self.count(matches) >= count, f"{count} such requests")

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(request.method, request.path, dict(request.query), request.headers.get("Authorization", ""))
        self.seen.append(seen)
        self.changes.touch()
        if not seen.is_watch:
            await self._wait_for_holds(seen)
        fault = self._fault(seen)
        if fault is not None and not fault.lose_reply:
            return await self._misbehave(request, fault)
        try:
            return await self._pass_on(seen, request, fault)
        except aiohttp.ClientError:
            # The API server has gone: so does the connection that came through here.
            return self._abort(request)

    async def _pass_on(self, seen: Seen, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name not in HOP_HEADERS}
        async with self._session.request(
            request.method,
            f"{self._upstream.server}{request.path_qs}",
            data=body or None,
            headers=headers,
            ssl=self._upstream.ssl_context or True,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            if fault is not None:
                await answer.read()
                return self._abort(request)
            reply_headers = {name: value for name, value in answer.headers.items() if name not in HOP_HEADERS}
            if not seen.is_watch or answer.status != 200:
                return web.Response(status=answer.status, headers=reply_headers, body=await answer.read())
            return await self._stream(seen, request, answer, reply_headers)

    async def _stream(
        self, seen: Seen, request: web.Request, answer: aiohttp.ClientResponse, headers: dict[str, str]
    ) -> web.StreamResponse:
        stream = web.StreamResponse(headers=headers)
        await stream.prepare(request)
        self._streams[id(stream)] = stream
        self._requests[id(stream)] = request
        self.changes.touch()
        try:
            async for piece in answer.content.iter_any():
                await self._is_flowing.wait()
                await self._wait_for_holds(seen)
                await stream.write(piece)
        finally:
            del self._streams[id(stream)], self._requests[id(stream)]
            self.changes.touch()
        return stream

    async def _wait_for_holds(self, seen: Seen) -> None:
        for held in self.holds:
            if not held.released.is_set() and held.matches(seen):
                await held.released.wait()

    def _fault(self, seen: Seen) -> Fault | None:
        for fault in self.faults:
            if fault.times != 0 and fault.matches(seen):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    async def _misbehave(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.cut:
            return self._abort(request)
        if fault.hang:
            await self._hangs_end.wait()
            return self._abort(request)
        if fault.first_line is not None:
            return web.Response(body=json.dumps(fault.first_line).encode() + b"\n")
        if fault.body:
            return web.Response(body=fault.body)
        status = {
            "kind": "Status",
            "status": "Failure",
            "reason": fault.reason,
            "code": fault.status,
            "message": "invented",
        }
        return web.json_response(status, status=fault.status, headers=fault.headers)

    def _abort(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
