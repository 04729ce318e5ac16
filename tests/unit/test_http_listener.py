"""What clients of a port can hold: how long a connection lives, and whose place a new one takes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from penstock_operator.runtime.http_listener import CONNECTION, MAX_HEAD_BYTES, ConnectionLimits, HttpListener
from tests.unit.certificate import write_certificate

LONG_S = 60.0
SHORT_S = 0.3
PATIENCE_S = 20.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
LARGE_GET = GET[:-2] + (b"A: " + b"b" * 8000 + b"\r\n") * 60 + b"\r\n"
LARGE = b"x" * 2**25
"""More than the buffers of a connection hold."""


class Scene:
    """A port, and clients of it."""

    def __init__(self) -> None:
        self.port = 0
        self.started = asyncio.Semaphore(0)
        """Each request of `/work` gives one of these when it is in progress."""
        self.work = asyncio.Semaphore(0)
        """Each of them is answered when it gets one of these."""
        self._writers: dict[asyncio.StreamReader, asyncio.StreamWriter] = {}

    async def connect(self, sent: bytes = b"", *, peer: str = "127.0.0.1", tls: bool = False) -> asyncio.StreamReader:
        """Connect from an address of this machine, and send something."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(peer, 0), ssl=_trusting() if tls else None, limit=2**12
        )
        self._writers[reader] = writer
        writer.write(sent)
        return reader

    def send(self, reader: asyncio.StreamReader, text: bytes) -> None:
        """Send more by a connection."""
        self._writers[reader].write(text)

    async def dribble(self, text: bytes) -> float:
        """Send a text byte by byte; returns after how many seconds the connection has ended."""
        reader = await self.connect()
        began = time.monotonic()
        ended = asyncio.ensure_future(until_end(reader))
        for byte in text:
            self.send(reader, bytes([byte]))
            done, _ = await asyncio.wait([ended], timeout=SHORT_S / 10)
            if done:
                return time.monotonic() - began
        raise AssertionError("the connection did not end")

    def close(self) -> None:
        for writer in self._writers.values():
            writer.transport.abort()


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def until_end(reader: asyncio.StreamReader) -> bytes:
    """Read until the connection ends, whether or not with a reset."""
    said = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE_S):
            while more := await reader.read(2**16):
                said += more
    return said


async def status(reader: asyncio.StreamReader) -> int:
    """Return the status of the next reply."""
    async with asyncio.timeout(PATIENCE_S):
        head = await reader.readuntil(b"\r\n\r\n")
    return int(head.split()[1])


async def is_open(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(SHORT_S):
            return bool(await reader.read(1))
    except TimeoutError:
        return True


@contextlib.asynccontextmanager
async def serving(tmp_path=None, **limits: float) -> AsyncIterator[Scene]:
    scene = Scene()

    async def greet(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def read(request: web.Request) -> web.Response:
        return web.Response(body=await request[CONNECTION].read_body())

    async def answer_later(_request: web.Request) -> web.Response:
        scene.started.release()
        await scene.work.acquire()
        return web.Response(text="done")

    async def answer_much(_request: web.Request) -> web.Response:
        return web.Response(body=LARGE)

    async def prove(request: web.Request) -> web.Response:
        request[CONNECTION].trust()
        return web.Response(text="known")

    app = web.Application()
    app.router.add_get("/", greet)
    app.router.add_post("/", read)
    app.router.add_get("/work", answer_later)
    app.router.add_get("/large", answer_much)
    app.router.add_get("/prove", prove)
    context = None
    if tmp_path is not None:
        write_certificate(tmp_path, "x")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    long: dict[str, Any] = {f"{name}_s": LONG_S for name in ("handshake", "head", "body", "reply", "idle")}
    listener = HttpListener(
        app, address="127.0.0.1", port=0, context=context, limits=ConnectionLimits(**(long | limits))
    )
    await listener.start()
    scene.port = listener.port
    try:
        yield scene
    finally:
        scene.close()
        await listener.stop()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HT", id="half a request line"),
        pytest.param(GET[:-2], id="a head without its end"),
    ],
)
def test_a_client_that_does_not_send_its_head_loses_its_connection(sent):
    async def scenario() -> None:
        async with serving(head_s=SHORT_S) as scene:
            assert await until_end(await scene.connect(sent)) == b""

    run(scenario)


def test_a_client_that_sends_its_head_byte_by_byte_loses_its_connection():
    async def scenario() -> None:
        async with serving(head_s=SHORT_S) as scene:
            assert await scene.dribble(GET * 100) < PATIENCE_S / 2

    run(scenario)


def test_a_client_that_begins_another_head_does_not_get_the_time_of_an_idle_one():
    async def scenario() -> None:
        async with serving(head_s=SHORT_S) as scene:
            reader = await scene.connect(GET)
            assert await status(reader) == 200
            scene.send(reader, GET[:-2])
            assert await until_end(reader) == b"hello"

    run(scenario)


def test_a_client_that_does_not_send_its_body_is_refused_and_loses_its_connection():
    async def scenario() -> None:
        async with serving(body_s=SHORT_S, reply_s=SHORT_S) as scene:
            reader = await scene.connect(POST + b"a part of it")
            assert await status(reader) == 408
            await until_end(reader)

    run(scenario)


def test_a_client_that_does_not_read_its_reply_loses_its_connection():
    async def scenario() -> None:
        async with serving(reply_s=SHORT_S) as scene:
            reader = await scene.connect(GET.replace(b"/ ", b"/large "))
            await asyncio.sleep(3 * SHORT_S)  # the client is slow: this is the test, not a wait
            assert len(await until_end(reader)) < len(LARGE)

    run(scenario)


def test_a_connection_is_kept_between_requests_for_a_while():
    async def scenario() -> None:
        async with serving(idle_s=SHORT_S, head_s=LONG_S) as scene:
            said = await until_end(await scene.connect(GET + GET))
            assert said.count(b"HTTP/1.1 200") == 2

    run(scenario)


def test_a_client_that_does_not_finish_its_handshake_loses_its_connection(tmp_path):
    async def scenario() -> None:
        async with serving(tmp_path, handshake_s=SHORT_S) as scene:
            assert await until_end(await scene.connect()) == b""
            assert await status(await scene.connect(GET, tls=True)) == 200

    run(scenario)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET /" + b"x" * 2 * MAX_HEAD_BYTES, id="a line without an end"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * MAX_HEAD_BYTES, id="headers without an end"),
        pytest.param(GET.replace(b"/ ", b"/work ") + LARGE_GET * 4, id="requests without a wait for replies"),
    ],
)
def test_a_client_that_sends_more_than_a_head_loses_its_connection(sent):
    async def scenario() -> None:
        async with serving() as scene:
            said = await until_end(await scene.connect(sent))
            assert not said.startswith(b"HTTP/1.1 200")

    run(scenario)


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HT", id="half a head"),
        pytest.param(POST + b"a", id="half a body"),
        pytest.param(GET, id="a request before"),
    ],
)
def test_clients_that_wait_do_not_keep_another_out(held):
    async def scenario() -> None:
        async with serving(connections=8) as scene:
            for _ in range(40):
                await scene.connect(held)
            assert await status(await scene.connect(GET)) == 200

    run(scenario)


def test_handshakes_that_do_not_end_keep_no_one_out(tmp_path):
    async def scenario() -> None:
        async with serving(tmp_path, connections=8) as scene:
            for _ in range(40):
                await scene.connect()
            assert await status(await scene.connect(GET, tls=True)) == 200

    run(scenario)


def test_an_address_with_many_connections_takes_places_from_itself():
    async def scenario() -> None:
        async with serving(connections=8) as scene:
            quiet = await scene.connect(peer="127.0.0.2")
            for _ in range(40):
                await scene.connect(peer="127.0.0.3")
            assert await is_open(quiet)

    run(scenario)


def test_a_client_that_proved_who_it_is_keeps_its_connection():
    async def scenario() -> None:
        async with serving(connections=8) as scene:
            known = [await scene.connect(GET.replace(b"/ ", b"/prove ")) for _ in range(5)]
            for reader in known:
                assert await status(reader) == 200
                await reader.readexactly(len("known"))
            for last in range(10, 50):
                await scene.connect(peer=f"127.0.0.{last}")
            assert all([await is_open(reader) for reader in known])

    run(scenario)


def test_requests_in_progress_are_finished_before_more_connections_are_accepted():
    async def scenario() -> None:
        async with serving(connections=2) as scene:
            working = [await scene.connect(GET.replace(b"/ ", b"/work ")) for _ in range(2)]
            for _ in working:
                await scene.started.acquire()
            waiting = await scene.connect(GET)
            assert await is_open(waiting)
            for reader in working:
                scene.work.release()
                assert await status(reader) == 200
            assert await status(waiting) == 200

    run(scenario)
