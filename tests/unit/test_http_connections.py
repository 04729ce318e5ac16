"""Connections that are kept open: which are used again, and which requests are sent once more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from penstock.kube.http_connections import Address, ConnectionLostError, HttpConnections
from penstock.kube.http_reply import Reply

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Handle = Callable[[int, int, bytes, asyncio.StreamWriter], Awaitable[None]]
"""Answers a request, given the number of its connection, its own number there, both from 0, and its head."""


class Served:
    """A server and the connections to it."""

    def __init__(self) -> None:
        self.connections = HttpConnections({"User-Agent": "test"})
        self.heads: list[bytes] = []
        self.address = Address("", None, None)

    async def request(self, method: str = "GET", target: str = "/a?b=c", *, body: bytes | None = None) -> Reply:
        return await self.connections.request(
            self.address, method, target, headers={}, body=body, connect_timeout_s=10.0, check=lambda: None
        )


@asynccontextmanager
async def serving(handle: Handle) -> AsyncIterator[Served]:
    served, opened = Served(), 0
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        connection, opened = opened, opened + 1
        tasks.add(asyncio.current_task())
        number = 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                served.heads.append(head)
                await handle(connection, number, head, writer)
                number += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    served.address = Address(f"http://127.0.0.1:{port}/base", None, None)
    try:
        yield served
    finally:
        served.connections.close()
        await asyncio.gather(*(task for task in tasks if task is not None))
        server.close()
        await server.wait_closed()


def test_a_request_names_host_path_and_length():
    async def handle(_connection: int, _number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)

    async def scenario() -> None:
        async with serving(handle) as served:
            await served.request("POST", "/pods", body=b"")
            host = served.address.server.removeprefix("http://").removesuffix("/base")
            want = f"POST /base/pods HTTP/1.1\r\nHost: {host}\r\nUser-Agent: test\r\nContent-Length: 0\r\n\r\n"
            assert served.heads == [want.encode()]

    asyncio.run(scenario())


@pytest.mark.parametrize(("ending", "want"), [(b"", [0, 0]), (b"Connection: close\r\n", [0, 1])])
def test_a_connection_is_used_again_unless_the_server_closes_it(ending, want):
    seen: list[int] = []

    async def handle(connection: int, _number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(connection)
        writer.write(b"HTTP/1.1 200 OK\r\n" + ending + b"Content-Length: 0\r\n\r\n")

    async def scenario() -> None:
        async with serving(handle) as served:
            await served.request()
            await served.request()

    asyncio.run(scenario())
    assert seen == want


@pytest.mark.parametrize(
    ("method", "is_repeated"), [("GET", True), ("DELETE", True), ("POST", False), ("PATCH", False)]
)
def test_only_what_may_be_repeated_is_sent_again_when_a_kept_connection_breaks(method, is_repeated):
    async def handle(connection: int, number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
        if (connection, number) == (0, 1):
            raise ConnectionError
        writer.write(OK)

    async def scenario() -> None:
        async with serving(handle) as served:
            await served.request()
            if is_repeated:
                assert (await served.request(method)).body == b"{}"
            else:
                with pytest.raises(ConnectionLostError):
                    await served.request(method)
            assert len(served.heads) == 2 + is_repeated

    asyncio.run(scenario())


def test_the_late_reply_to_a_cancelled_request_is_not_taken_for_another():
    async def scenario() -> None:
        is_asked, may_answer = asyncio.Event(), asyncio.Event()

        async def handle(connection: int, _number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
            is_asked.set()
            if connection == 0:
                await may_answer.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % connection)

        async with serving(handle) as served:
            first = asyncio.create_task(served.request())
            await is_asked.wait()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            may_answer.set()
            assert (await served.request()).body == b"1"

    asyncio.run(scenario())


def test_a_request_that_must_not_be_sent_any_more_leaves_the_connection_for_others():
    async def handle(connection: int, _number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % connection)

    def refuse() -> None:
        raise PermissionError

    async def scenario() -> None:
        async with serving(handle) as served:
            with pytest.raises(PermissionError):
                await served.connections.request(
                    served.address, "POST", "/", headers={}, body=b"", connect_timeout_s=10.0, check=refuse
                )
            assert (await served.request()).body == b"0"
            assert len(served.heads) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/a\nb"])
def test_a_target_cannot_end_the_line_of_a_request(target):
    async def scenario() -> None:
        with pytest.raises(ValueError, match="not allowed"):
            await HttpConnections({}).request(
                Address("http://127.0.0.1:1", None, None),
                "GET",
                target,
                headers={},
                body=None,
                connect_timeout_s=1.0,
                check=lambda: None,
            )

    asyncio.run(scenario())
