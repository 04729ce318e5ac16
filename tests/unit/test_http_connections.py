"""Connections that are kept open: which are used again, and which requests are sent once more."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from penstock.kube.client import LARGE_BODY_BYTES, ApiClient
from penstock.kube.connection import Connection
from penstock.kube.errors import ApiUnreachableError
from penstock.kube.http_connections import Address, ConnectionLostError, HttpConnections
from penstock.kube.http_reply import Reply
from penstock_operator.metrics import Metrics
from tests.unit.certificate import write_certificate

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Handle = Callable[[int, int, bytes, asyncio.StreamWriter], Awaitable[None]]
"""Answers a request, given the number of its connection, its own number there, both from 0, and its head."""


class Served:
    """A server and the connections to it."""

    def __init__(self) -> None:
        self.connections = HttpConnections({"User-Agent": "test"})
        self.heads: list[bytes] = []
        self.address = Address("", None, None)
        self.ends: list[asyncio.Event] = []
        """Of each connection: set when it is closed."""

    @property
    def port(self) -> int:
        return int(self.address.server.rpartition(":")[2].partition("/")[0])

    async def request(
        self,
        method: str = "GET",
        target: str = "/a?b=c",
        *,
        body: bytes | None = None,
        address: Address | None = None,
        connect_timeout_s: float = 10.0,
    ) -> Reply:
        return await self.connections.request(
            address or self.address,
            method,
            target,
            headers={},
            body=body,
            connect_timeout_s=connect_timeout_s,
            check=lambda: None,
        )


@asynccontextmanager
async def serving(handle: Handle, *, context: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    served = Served()
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection, end = len(served.ends), asyncio.Event()
        served.ends.append(end)
        tasks.add(asyncio.current_task())
        number = 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                served.heads.append(head)
                await handle(connection, number, head, writer)
                number += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            end.set()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    served.address = Address(f"http://127.0.0.1:{port}/base", None, None)
    try:
        yield served
    finally:
        served.connections.close()
        await asyncio.gather(*(task for task in tasks if task is not None))
        assert not served.connections._open
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


async def open_connections(served: Served, number: int, seen: asyncio.Semaphore, may_answer: asyncio.Event) -> None:
    """Have that many idle connections: the server answers none before it was asked over all."""
    requests = [asyncio.create_task(served.request()) for _ in range(number)]
    for _ in range(number):
        await seen.acquire()
    may_answer.set()
    await asyncio.gather(*requests)


@pytest.mark.parametrize(("method", "sent_over"), [("GET", [2, 3]), ("PUT", [2, 3]), ("DELETE", [2, 3]), ("POST", [2])])
def test_a_request_is_sent_twice_at_most_however_many_connections_are_dead(method, sent_over):
    async def scenario() -> None:
        seen, may_answer = asyncio.Semaphore(0), asyncio.Event()
        sent: list[int] = []

        async def handle(connection: int, number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
            if number > 0 or connection > 2:
                sent.append(connection)
                raise ConnectionError
            seen.release()
            await may_answer.wait()
            writer.write(OK)

        async with serving(handle) as served:
            await open_connections(served, 3, seen, may_answer)
            with pytest.raises(ConnectionLostError, match=f"127.0.0.1:{served.port} closed the connection"):
                await served.request(method)
            assert len(sent) == len(sent_over)
            assert (3 in sent) == (3 in sent_over)

    asyncio.run(scenario())


@pytest.mark.parametrize(("method", "is_repeated"), [("GET", True), ("PUT", True), ("DELETE", True), ("POST", False)])
def test_what_may_be_repeated_is_sent_again_when_a_new_connection_breaks(method, is_repeated):
    async def handle(connection: int, _number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
        if connection == 0:
            raise ConnectionError
        writer.write(OK)

    async def scenario() -> None:
        async with serving(handle) as served:
            if is_repeated:
                assert (await served.request(method)).body == b"{}"
            else:
                with pytest.raises(ConnectionLostError):
                    await served.request(method)
            assert len(served.heads) == 1 + is_repeated

    asyncio.run(scenario())


def test_after_a_request_without_an_answer_only_connections_that_have_worked_since_are_used():
    async def scenario() -> None:
        seen, may_answer, is_asked = asyncio.Semaphore(0), asyncio.Event(), asyncio.Event()
        silent: list[int] = []

        async def handle(connection: int, _number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
            if head.startswith(b"GET /base/silent"):
                silent.append(connection)
                is_asked.set()
                return
            if head.startswith(b"GET /base/a"):
                seen.release()
                await may_answer.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % connection)

        async with serving(handle) as served, asyncio.timeout(10):
            await open_connections(served, 3, seen, may_answer)
            unanswered = asyncio.create_task(served.request(target="/silent"))
            await is_asked.wait()
            worked = int((await served.request(target="/b")).body)
            unanswered.cancel()
            with pytest.raises(asyncio.CancelledError):
                await unanswered
            (older,) = {0, 1, 2} - {worked, *silent}
            await served.ends[older].wait()
            replies = await asyncio.gather(*(served.request(target="/b") for _ in range(2)))
            assert {int(reply.body) for reply in replies} == {worked, 3}

    asyncio.run(scenario())


def test_after_a_request_that_timed_out_the_next_opens_a_connection():
    async def scenario() -> None:
        seen, may_answer = asyncio.Semaphore(0), asyncio.Event()

        async def handle(connection: int, number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
            if connection < 3:
                if number:
                    return
                seen.release()
                await may_answer.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % connection)

        async with serving(handle) as served, asyncio.timeout(10):
            await open_connections(served, 3, seen, may_answer)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await served.request()
            assert (await served.request()).body == b"3"

    asyncio.run(scenario())


def test_connections_of_replaced_credentials_are_not_kept_and_do_not_cost_new_ones():
    async def scenario() -> None:
        is_asked, may_answer = asyncio.Event(), asyncio.Event()

        async def handle(connection: int, _number: int, head: bytes, writer: asyncio.StreamWriter) -> None:
            if head.startswith(b"GET /base/late"):
                is_asked.set()
                await may_answer.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % connection)

        async with serving(handle) as served, asyncio.timeout(10):
            late = asyncio.create_task(served.request(target="/late"))
            await is_asked.wait()
            await served.request()
            renewed = served.address._replace(server_name="renewed")
            assert (await served.request(address=renewed)).body == b"2"
            await served.ends[1].wait()
            may_answer.set()
            assert (await late).body == b"0"
            await served.ends[0].wait()
            assert (await served.request(address=renewed)).body == b"2"

    asyncio.run(scenario())


def secured(server: asyncio.Server | socket.socket) -> Served:
    served, listener = Served(), server if isinstance(server, socket.socket) else server.sockets[0]
    served.address = Address(f"https://127.0.0.1:{listener.getsockname()[1]}", None, None)
    return served


@pytest.mark.parametrize(
    ("ending", "want"),
    [
        pytest.param("reset", "reset|closed the connection", id="reset"),
        pytest.param("end", "ConnectionResetError|closed the connection", id="end"),
        pytest.param("text", "SSL", id="not TLS"),
        pytest.param("given up", "", id="given up"),
    ],
)
def test_a_tls_handshake_that_fails_leaves_nothing_open(ending, want):
    async def scenario() -> None:
        is_begun, has_ended = asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            is_begun.set()
            if ending == "text":
                writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            elif ending == "reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            elif ending == "end":
                writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            has_ended.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        served = secured(server)
        async with server, asyncio.timeout(10):
            request = asyncio.create_task(served.request())
            await is_begun.wait()
            if ending == "given up":
                request.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await request
            else:
                text = rf"cannot connect to 127\.0\.0\.1:{served.port}: .*({want})"
                with pytest.raises(ConnectionError, match=text):
                    await request
            await has_ended.wait()
            assert not served.connections._open

    asyncio.run(scenario())


def test_the_time_to_connect_is_also_that_of_the_tls_handshake():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = secured(listener)
        with pytest.raises(ConnectionError, match=rf"cannot connect to 127\.0\.0\.1:{served.port}: not within 0\.1 s"):
            asyncio.run(asyncio.wait_for(served.request(connect_timeout_s=0.1), 10))
        assert not served.connections._open


def test_a_certificate_is_checked_and_its_connection_is_used_again(tmp_path):
    write_certificate(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "tls.crt"))
    trusting.check_hostname = False
    trusting.verify_flags &= ~ssl.VERIFY_X509_STRICT

    async def handle(connection: int, _number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % connection)

    async def scenario() -> None:
        async with serving(handle, context=context) as served:
            url = f"https://127.0.0.1:{served.port}"
            with pytest.raises(
                ConnectionError, match=rf"cannot connect to 127\.0\.0\.1:{served.port}: .*CERTIFICATE_VERIFY_FAILED"
            ):
                await served.request(address=Address(url, None, None))
            assert not served.connections._open
            trusted = Address(url, trusting, None)
            first, second = [await served.request(address=trusted) for _ in range(2)]
            assert first == second

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("server", "want"),
    [
        ("http://127.0.0.1:1", r"cannot connect to 127\.0\.0\.1:1: .*refused|Connect call failed"),
        ("http://a..b:1", r"cannot connect to a\.\.b:1: "),
        ("http://[::1", "not the address of a server"),
        ("http://a:99999", "not the address of a server"),
        ("ftp://a", "not the address of a server"),
    ],
)
def test_a_server_that_cannot_be_connected_to_is_named(server, want):
    served = Served()
    served.address = Address(server, None, None)
    with pytest.raises(ConnectionError, match=want):
        asyncio.run(served.request())


def test_a_client_that_is_closed_does_not_connect():
    served = Served()
    served.address = Address("http://127.0.0.1:1", None, None)
    served.connections.close()
    with pytest.raises(ConnectionError, match="the client is closed"):
        asyncio.run(served.request())


def test_requests_in_progress_fail_as_unanswered_when_the_client_is_closed():
    async def scenario(port: int) -> None:
        is_sent = asyncio.Event()
        sent: list[str] = []

        async def get(client: ApiClient, path: str, *, urgent: bool = False) -> None:
            def may_send() -> bool:
                sent.append(path)
                is_sent.set()
                return True

            await client.request("GET", path, urgent=urgent, may_send=may_send)

        connection = Connection(f"http://127.0.0.1:{port}")
        async with ApiClient(connection, metrics=Metrics(), connection_limit=1) as client:
            requests = [asyncio.create_task(get(client, "/sent"))]
            await is_sent.wait()
            requests += [
                asyncio.create_task(get(client, "/waiting")),
                asyncio.create_task(get(client, "/connecting", urgent=True)),
            ]
            large = client.request("PUT", "/large", body=b" " * LARGE_BODY_BYTES)
            await asyncio.sleep(0)
            await client.close()
            for request in (*requests, large):
                with pytest.raises(ApiUnreachableError):
                    await request
            with pytest.raises(ApiUnreachableError, match="the client is closed"):
                await get(client, "/later")
        assert sent == ["/sent"]

    # Nobody accepts: what is sent gets no answer.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(scenario(listener.getsockname()[1]))


def test_a_request_that_must_not_be_sent_leaves_also_a_connection_of_aiohttp_for_others():
    async def handle(connection: int, _number: int, _head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % connection)

    def fail() -> bool:
        raise ZeroDivisionError

    async def scenario() -> None:
        async with serving(handle) as served:
            server = f"http://user:secret@127.0.0.1:{served.port}"
            async with ApiClient(Connection(server), metrics=Metrics()) as client:
                with pytest.raises(ZeroDivisionError):
                    await client.request("GET", "/", may_send=fail)
                assert (await client.request("GET", "/")).body == b"0"
            (head,) = served.heads
            assert b"Authorization: Basic dXNlcjpzZWNyZXQ=\r\n" in head

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "GET / HTTP/1.1\r\nX:"])
def test_only_methods_whose_replies_can_be_read_are_sent(method):
    served = Served()
    served.address = Address("http://127.0.0.1:1", None, None)
    with pytest.raises(ValueError, match="the method must be one of DELETE, GET, PATCH, POST, PUT"):
        asyncio.run(served.request(method))


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
