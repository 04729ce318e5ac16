"""One HTTP session with the API server: requests, reads of objects and lists, refusals as errors."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from http import HTTPStatus
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from penstock import __version__
from penstock.kube.asking_connector import CHECK, AskingConnector
from penstock.kube.connection import Connection
from penstock.kube.errors import ApiError, ApiUnreachableError, ConfigurationError, NotLeaderError, is_not_found
from penstock.kube.http_connections import KEPT_ALIVE_S, Address, HttpConnections
from penstock.kube.nesting import decode_json
from penstock.kube.page import PAGE_ITEMS, HasListMeta, object_decoder, read_page
from penstock.kube.request_metrics import RequestCounts, RequestMetrics
from penstock.kube.resources import RequestLabels, Resource, request_labels

logger = logging.getLogger(__name__)

T = TypeVar("T")
P = TypeVar("P", bound=HasListMeta)

JSON: Final = "application/json"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""Accept header: answer with the object's metadata only."""
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

REQUEST_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
REFRESH_S = 60.0
"""How often the `kubernetes` package is asked whether credentials need renewal: its own token period."""
LARGE_BODY_BYTES: Final = 2**20
"""From here on aiohttp wants a file, which it sends in pieces."""
RELOAD_PAUSE_S = 5.0
"""Credentials that are refused are reloaded no more often than this."""


HEADERS: Final = {"User-Agent": f"penstock-operator/{__version__}", "Accept-Encoding": "identity"}
"""Of every request."""
TRANSPORT_ERRORS: Final = (aiohttp.ClientError, TimeoutError, OSError)


class Response(NamedTuple):
    """A reply that is not a refusal."""

    status: int
    body: bytes


class _Call(NamedTuple):
    method: str
    target: str
    labels: RequestLabels
    headers: dict[str, str]
    body: bytes | None
    limits: aiohttp.ClientTimeout
    may_send: Callable[[], bool] | None = None

    def check(self) -> None:
        """Raise NotLeaderError if it must not be sent any more."""
        if self.may_send is not None and not self.may_send():
            raise NotLeaderError("this process does not hold the Lease; it must not write")


class ApiClient:
    """Sends requests to the API server; an async context manager that owns its session.

    Args:
        connection: address and credentials.
        metrics: counts every request.
        connection_limit: requests at the same time; more wait their turn, in order. Streams and urgent requests do
            not count, so that a flood of writes cannot delay a watch or a Lease.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        metrics: RequestMetrics,
        connection_limit: int = 96,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._counts = RequestCounts(metrics)
        self._slots = asyncio.Semaphore(connection_limit)
        self._clock = clock
        self._connector: AskingConnector | None = None
        self._session: aiohttp.ClientSession | None = None
        self._connections = HttpConnections(HEADERS, clock=clock)
        self._refreshed_at = clock()
        self._reloaded_at = float("-inf")
        self._reload_lock = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Open the HTTP session that all requests share; requests before this fail."""
        self._connector = AskingConnector(limit=0, keepalive_timeout=KEPT_ALIVE_S)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            headers=HEADERS,
            auto_decompress=False,
            raise_for_status=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session and every stream of it."""
        await self.close()

    async def close(self) -> None:
        """Close the session and every stream of it."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        self._connections.close()
        if self._connector is not None:
            self._connector.abort()
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout_s: float = REQUEST_TIMEOUT_S,
        urgent: bool = False,
        may_send: Callable[[], bool] | None = None,
    ) -> Response:
        """Send one request and read the whole reply.

        Args:
            method: HTTP method; not HEAD.
            path: as `Resource.path` builds it.
            query: parameters of the URL.
            body: JSON, encoded.
            content_type: of the body; a patch says here which kind it is.
            accept: what the reply should be, such as `METADATA`.
            timeout_s: for the whole of it, seconds, without the wait for a free connection.
            urgent: do not wait for a free connection.
            may_send: asked once there is a connection, right before the request is sent.

        Raises:
            ApiError: the API server refused.
            ApiUnreachableError: no whole reply came; the API server may or may not have acted.
            NotLeaderError: `may_send` says no.
        """
        headers = {"Accept": accept} if body is None else {"Accept": accept, "Content-Type": content_type}
        labels, limits = request_labels(method, path), _limits(timeout_s)
        call = _Call(method, _target(path, query), labels, headers, body, limits, may_send)
        if urgent:
            return await self._exchange(call)
        async with self._slots:
            return await self._exchange(call)

    async def get(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        kind: type[T],
        accept: str = JSON,
        timeout_s: float = REQUEST_TIMEOUT_S,
        urgent: bool = False,
    ) -> T | None:
        """Read an object as it is now; None if it does not exist.

        Args:
            resource: its kind.
            namespace: where.
            name: which.
            kind: what it is decoded to: a msgspec Struct, or `dict[str, Any]`.
            accept: `METADATA` for the metadata alone.
            timeout_s: for the whole of it, seconds, without the wait for a free connection.
            urgent: do not wait for a free connection.

        Raises:
            ApiError: the API server refused.
            ApiUnreachableError: no whole reply came.
            msgspec.DecodeError: the object is not as `kind` says.
        """
        path = resource.path(namespace, name)
        try:
            reply = await self.request("GET", path, accept=accept, timeout_s=timeout_s, urgent=urgent)
        except ApiError as error:
            if is_not_found(error):
                return None
            raise
        return decode_json(object_decoder(kind), reply.body)

    async def list(
        self,
        resource: Resource,
        *,
        kind: type[T],
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        page_items: int = PAGE_ITEMS,
        accept: str = JSON,
    ) -> AsyncIterator[T]:
        """Read the objects of a collection, page by page, as they were when the first page was read.

        An object that is not as `kind` says is logged and left out.

        Args:
            resource: their kind.
            kind: what each is decoded to: a msgspec Struct, or `dict[str, Any]`.
            namespace: empty for all namespaces.
            label_selector: as in `kubectl -l`.
            field_selector: as in `kubectl --field-selector`.
            page_items: objects in one page.
            accept: `METADATA_LIST` for the metadata alone.

        Raises:
            ApiError: the API server refused; `is_expired`: reading took so long that the list has to begin again.
            ApiUnreachableError: no whole reply came.
            msgspec.DecodeError: a reply is not a list.
        """
        pages = self.pages(
            resource,
            lambda body: read_page(kind, body, plural=resource.plural).page,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            page_items=page_items,
            accept=accept,
        )
        async for page in pages:
            for item in page.items or ():
                yield item

    async def pages(
        self,
        resource: Resource,
        decode: Callable[[bytes], P],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        page_items: int = PAGE_ITEMS,
        accept: str = JSON,
    ) -> AsyncIterator[P]:
        """Read a collection as whole pages: for a Table, or where the list's own metadata is needed.

        No resourceVersion is sent, so the list has everything that was written before it was asked for.

        Args:
            resource: what to read.
            decode: decodes a page; what it raises ends the list.
            namespace: see `list`, as for the other arguments and errors.
            label_selector: see `list`.
            field_selector: see `list`.
            page_items: see `list`.
            accept: see `list`.
        """
        query = {"limit": str(page_items)}
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        path = resource.path(namespace)
        while True:
            reply = await self.request("GET", path, query=query, accept=accept)
            page = decode(reply.body)
            yield page
            if not page.metadata.continue_token:
                return
            query["continue"] = page.metadata.continue_token

    async def _exchange(self, call: _Call) -> Response:
        connection, is_large = self._connection, call.body is not None and len(call.body) >= LARGE_BODY_BYTES
        # A user and a password in the URL become a header in aiohttp.
        if connection.proxy is None and "@" not in connection.server and not is_large:
            return await self._authorized(call, self._send_whole)
        response = await self._authorized(call, self._send)
        try:
            return Response(response.status, await response.read())
        except TRANSPORT_ERRORS as error:
            raise _unreachable(call, error) from error
        finally:
            response.release()

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str],
        accept: str = JSON,
        inactivity_s: float,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a watch and iterate over the pieces of its body, as they come.

        Args:
            path: of a collection.
            query: parameters of the URL.
            accept: what the objects should be, such as `METADATA`.
            inactivity_s: a stream that receives nothing for longer, seconds, counts as dead.

        Raises:
            ApiError: the API server refused.
            ApiUnreachableError: the connection could not be opened, broke, or received nothing for too long.
        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=inactivity_s)
        labels = request_labels("GET", path, is_watch=True)
        call = _Call("GET", _target(path, query), labels, {"Accept": accept}, None, limits)
        response = await self._authorized(call, self._send)
        try:
            yield response.content.iter_any()
        except TRANSPORT_ERRORS as error:
            raise _unreachable(call, error) from error
        finally:
            # A peer that vanished does not answer the TLS shutdown: without this its socket stays for half a minute.
            if response.connection is not None and response.connection.transport is not None:
                response.connection.transport.abort()
            response.release()

    async def _authorized(self, call: _Call, send: Callable[[_Call], Awaitable[T]]) -> T:
        """Send a request, and once more if the API server does not accept the credentials but accepts newer ones."""
        if self._clock() - self._refreshed_at >= REFRESH_S:
            self._refresh_in_background()
        sent_at = self._clock()
        try:
            return await send(call)
        except ApiError as error:
            if error.status != HTTPStatus.UNAUTHORIZED:
                raise
        await self._reload(sent_at)
        return await send(call)

    async def _send_whole(self, call: _Call) -> Response:
        """Send a request over a connection of ours, and read the whole reply."""
        assert self._session is not None, "use the client as a context manager"
        connection, limits, sent_at = self._connection, call.limits, self._clock()
        try:
            async with asyncio.timeout(limits.total):
                reply = await self._connections.request(
                    Address(connection.server, connection.ssl_context, connection.server_name),
                    call.method,
                    call.target,
                    headers={**connection.headers, **call.headers},
                    body=call.body,
                    connect_timeout_s=limits.sock_connect or CONNECT_TIMEOUT_S,
                    check=call.check,
                )
        except TRANSPORT_ERRORS as error:
            self._counts.count(call.labels, "error")
            raise _unreachable(call, error) from error
        self._counts.count(call.labels, str(reply.status), duration_s=self._clock() - sent_at)
        if reply.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise ApiError.from_reply(reply.status, reply.body, reply.retry_after)
        return Response(reply.status, reply.body)

    async def _send(self, call: _Call) -> aiohttp.ClientResponse:
        assert self._session is not None, "use the client as a context manager"
        if self._session.closed:
            # aiohttp would raise a RuntimeError, also for what waited for a free connection.
            raise ApiUnreachableError(f"{call.method} {call.target}: the client is closed")
        connection = self._connection
        CHECK.set(call.check)
        sent_at = self._clock()
        try:
            response = await self._session.request(
                call.method,
                URL(connection.server + call.target, encoded=True),
                data=call.body if call.body is None or len(call.body) < LARGE_BODY_BYTES else io.BytesIO(call.body),
                headers={**connection.headers, **call.headers},
                timeout=call.limits,
                ssl=connection.ssl_context or True,
                server_hostname=connection.server_name,
                proxy=connection.proxy,
                allow_redirects=False,
            )
        except TRANSPORT_ERRORS as error:
            self._counts.count(call.labels, "error")
            raise _unreachable(call, error) from error
        self._counts.count(call.labels, str(response.status), duration_s=self._clock() - sent_at)
        if response.status < HTTPStatus.MULTIPLE_CHOICES:
            return response
        try:
            body = await response.read()
        except TRANSPORT_ERRORS as error:
            raise _unreachable(call, error) from error
        raise ApiError.from_reply(response.status, body, response.headers.get("Retry-After", ""))

    def _refresh_in_background(self) -> None:
        self._refreshed_at = self._clock()
        # No request waits for it: an exec plugin may take seconds, and the present credentials are valid for minutes.
        self._refreshing = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        try:
            await asyncio.to_thread(self._connection.refresh)
        except Exception:
            logger.warning("Failed to renew the credentials; keeping the current ones", exc_info=True)

    async def _reload(self, sent_at: float) -> None:
        async with self._reload_lock:
            # Many requests are refused at the same time: only the first of them loads.
            if self._reloaded_at > sent_at or self._clock() - self._reloaded_at < RELOAD_PAUSE_S:
                return
            self._reloaded_at = self._clock()
            logger.info("The API server refused the credentials; reloading them")
            try:
                await asyncio.to_thread(self._connection.reload)
            except ConfigurationError as error:
                logger.warning("Failed to reload the credentials; keeping the current ones: %s", error)


def _unreachable(call: _Call, error: BaseException) -> ApiUnreachableError:
    return ApiUnreachableError(f"{call.method} {call.target}: {str(error) or type(error).__name__}")


@lru_cache
def _limits(timeout_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, CONNECT_TIMEOUT_S))


def _target(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path
