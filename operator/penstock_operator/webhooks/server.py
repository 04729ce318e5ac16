"""The operator's HTTP servers: metrics and probes without TLS, webhooks with TLS; every replica has both."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from penstock.kube.nesting import cut_depth
from penstock_operator.runtime.http_listener import CONNECTION, ConnectionLimits, HttpListener
from penstock_operator.webhooks.mounted_secrets import CallerToken, Certificate

logger = logging.getLogger(__name__)

PATH: Final = "/validate"
APPROVALS: Final = "approvals"
"""The webhook that requests cannot do without. It has a token of its own: whoever sends such a request while it does
not answer is shown its URL, and must not learn from it how to call the others."""
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""A review holds the new object and the old one; the API server takes 3 MiB for each."""
REVIEWS: Final = 64
"""Reviews in progress at the same time."""
LARGE_BYTES: Final = 256 * 1024
LARGE_REVIEWS: Final = 2
"""Those of them with a large body, or a body of unknown size: decoded, one takes many times its size."""
QUEUE_S: Final = 2.0
"""Longest wait of a review for its turn: the API server waits 5 s by the chart's defaults, then decides by itself."""

Check = Callable[[], str | None]
"""Returns None if all is well, else what is wrong, in one line."""
WebhookHandler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Takes the decoded body of a request, returns the body of the reply."""


class HttpServers:
    """Serves until stopped.

    Args:
        bind_address: address to listen on.
        http_port: of `/metrics`, `/healthz` and `/readyz`; 0: any free one.
        registry: the metrics.
        health: checks by name; one that fails makes `/healthz` answer 503, and the kubelet restarts the Pod.
        readiness: likewise for `/readyz`: the Pod gets no webhook calls.
        webhook_port: of the webhooks; 0: any free one.
        webhook_cert_dir: folder with `tls.crt` and `tls.key`, re-read as they change; empty: no webhooks.
        webhook_token_file: file with the token that callers must have in the path, re-read as it changes; empty:
            anyone may call.
        webhooks: handlers by the last part of their path: `flows` is at `/validate/TOKEN/flows`.
        event_port: of the webhooks of Schedules; 0: any free one; None: they are not served.
        events: the application that serves them.
        limits: what the clients of each port can hold.
    """

    def __init__(
        self,
        *,
        bind_address: str,
        http_port: int,
        registry: CollectorRegistry,
        health: Mapping[str, Check] | None = None,
        readiness: Mapping[str, Check] | None = None,
        webhook_port: int = 0,
        webhook_cert_dir: str = "",
        webhook_token_file: str = "",
        webhooks: Mapping[str, WebhookHandler] | None = None,
        event_port: int | None = None,
        events: web.Application | None = None,
        limits: ConnectionLimits | None = None,
    ) -> None:
        self.http_port = http_port
        """The port in use, once started."""
        self.webhook_port = webhook_port
        """The port in use, once started."""
        self.event_port = event_port
        """The port in use, once started; None: there is none."""
        self._events = events
        self._bind_address = bind_address
        self._limits = limits or ConnectionLimits()
        self._certificate = Certificate(Path(webhook_cert_dir)) if webhook_cert_dir else None
        self._token = CallerToken(Path(webhook_token_file)) if webhook_token_file else None
        self._plain = web.Application()
        self._plain.router.add_get("/metrics", make_aiohttp_handler(registry))
        self._plain.router.add_get("/healthz", _probe(health or {}))
        self._plain.router.add_get("/readyz", _probe(readiness or {}))
        self._hooks = web.Application(client_max_size=MAX_BODY_BYTES)
        self._hooks.router.add_route("*", "/{path:.*}", _Webhooks(webhooks or {}, self._token).answer)
        self._listeners: list[HttpListener] = []

    async def start(self) -> None:
        """Start to listen.

        Raises:
            ConfigurationError: cannot listen on an address, or cannot read the certificate or the token.
        """
        try:
            self.http_port = await self._listen(self._plain, self.http_port)
            if self._certificate is not None:
                if self._token is None:
                    logger.warning("The validating webhooks have no token, so that anyone can call them")
                else:
                    self._token.load()
                self.webhook_port = await self._listen(self._hooks, self.webhook_port, self._certificate)
            if self._events is not None and self.event_port is not None:
                self.event_port = await self._listen(self._events, self.event_port)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop; requests in progress get a few seconds."""
        for listener in reversed(self._listeners):
            await listener.stop()
        self._listeners.clear()

    async def _listen(self, app: web.Application, port: int, certificate: Certificate | None = None) -> int:
        listener = HttpListener(
            app,
            address=self._bind_address,
            port=port,
            context=None if certificate is None else certificate.load(),
            limits=self._limits,
        )
        self._listeners.append(listener)
        await listener.start()
        return listener.port


class _Webhooks:
    """Answers reviews of callers that have the token."""

    def __init__(self, handlers: Mapping[str, WebhookHandler], token: CallerToken | None) -> None:
        self._handlers = handlers
        self._token = token
        self._turns = _Turns()
        self._approval_turns = _Turns()

    async def answer(self, request: web.Request) -> web.Response:
        place, _, kind = request.path.rpartition("/")
        if self._token is not None:
            place, _, token = place.rpartition("/")
            if not self._token.matches(token, purpose=APPROVALS if kind == APPROVALS else ""):
                _refuse()
        handler = self._handlers.get(kind)
        if place != PATH or handler is None or request.method != "POST":
            _refuse()
        connection, turns = request[CONNECTION], self._turns
        if kind == APPROVALS:
            # Its token proves little: users may have seen it. So whoever has it takes nothing from the others.
            turns = self._approval_turns
        else:
            connection.trust()
        size = request.content_length
        is_large = size is None or size > LARGE_BYTES
        # A client that sends a small body slowly holds no slot; a large one must not take memory before its turn.
        body = b"" if is_large else await connection.read_body()
        async with turns.take_slot(is_large=is_large):
            if is_large:
                body = await connection.read_body()
            try:
                # An object that is nested too deeply is refused like any other that is invalid, with its field path.
                review = json.loads(cut_depth(body))
            except ValueError as error:
                raise web.HTTPBadRequest(text=f"the body is not valid JSON: {error}\n") from error
            if not isinstance(review, dict):
                raise web.HTTPBadRequest(text="the body must be a JSON object\n")
            return web.json_response(await handler(review))


class _Turns:
    """The slots of reviews that are in progress. Large bodies do not delay small ones."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(REVIEWS)
        self._large_slots = asyncio.Semaphore(LARGE_REVIEWS)

    @asynccontextmanager
    async def take_slot(self, *, is_large: bool) -> AsyncIterator[None]:
        """Wait for a slot, and hold it.

        Raises:
            HTTPServiceUnavailable: none became free in time.
        """
        slots = [self._large_slots, self._slots] if is_large else [self._slots]
        taken: list[asyncio.Semaphore] = []
        try:
            try:
                async with asyncio.timeout(QUEUE_S):
                    for slot in slots:
                        await slot.acquire()
                        taken.append(slot)
            except TimeoutError:
                raise web.HTTPServiceUnavailable(text="too many reviews are in progress\n") from None
            yield
        finally:
            for slot in taken:
                slot.release()


def _refuse() -> NoReturn:
    """Refuse a stranger: nothing is said, and nothing of the request is read."""
    refusal = web.HTTPNotFound(text="not found\n")
    refusal.force_close()
    raise refusal


def _probe(checks: Mapping[str, Check]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        problems = [f"{name}: {problem}" for name, check in checks.items() if (problem := check()) is not None]
        if problems:
            return web.Response(status=503, text="\n".join(problems) + "\n")
        return web.Response(text="ok\n")

    return answer
