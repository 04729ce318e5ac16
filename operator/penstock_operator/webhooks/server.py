"""The operator's HTTP servers: metrics and probes without TLS, webhooks with TLS; every replica has both."""

from __future__ import annotations

import json
import logging
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from penstock.kube.errors import ConfigurationError
from penstock.kube.nesting import cut_depth

logger = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""A review holds the new object and the old one; the API server takes 3 MiB for each."""
SHUTDOWN_S: Final = 5.0

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
        webhooks: handlers by path.
        event_port: of the webhooks of Schedules; 0: any free one; None: they are not served.
        events: the application that serves them.
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
        webhooks: Mapping[str, WebhookHandler] | None = None,
        event_port: int | None = None,
        events: web.Application | None = None,
    ) -> None:
        self.http_port = http_port
        """The port in use, once started."""
        self.webhook_port = webhook_port
        """The port in use, once started."""
        self.event_port = event_port
        """The port in use, once started; None: there is none."""
        self._events = events
        self._bind_address = bind_address
        self._certificate = Certificate(Path(webhook_cert_dir)) if webhook_cert_dir else None
        self._plain = web.Application()
        self._plain.router.add_get("/metrics", make_aiohttp_handler(registry))
        self._plain.router.add_get("/healthz", _probe(health or {}))
        self._plain.router.add_get("/readyz", _probe(readiness or {}))
        self._hooks = web.Application(client_max_size=MAX_BODY_BYTES)
        for path, handler in (webhooks or {}).items():
            self._hooks.router.add_post(path, _webhook(handler))
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        """Start to listen.

        Raises:
            ConfigurationError: cannot listen on an address, or cannot read the certificate.
        """
        try:
            self.http_port = await self._listen(self._plain, self.http_port, None)
            if self._certificate is not None:
                self.webhook_port = await self._listen(self._hooks, self.webhook_port, self._certificate.load())
            if self._events is not None and self.event_port is not None:
                self.event_port = await self._listen(self._events, self.event_port, None)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop; requests in progress get a few seconds."""
        for runner in reversed(self._runners):
            await runner.cleanup()
        self._runners.clear()

    async def _listen(self, app: web.Application, port: int, context: ssl.SSLContext | None) -> int:
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        self._runners.append(runner)
        try:
            await web.TCPSite(runner, self._bind_address, port, ssl_context=context).start()
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {self._bind_address}:{port}: {error}") from error
        return int(runner.addresses[0][1])


class Certificate:
    """A server certificate that is replaced while we serve, as a mounted Secret is.

    Args:
        folder: holds `tls.crt` and `tls.key`.
    """

    def __init__(self, folder: Path) -> None:
        self._certificate = folder / "tls.crt"
        self._key = folder / "tls.key"
        self._seen: tuple[int, ...] = ()
        self._current: ssl.SSLContext | None = None

    def load(self) -> ssl.SSLContext:
        """Make the context to listen with; it checks for a new certificate at every new connection.

        Raises:
            ConfigurationError: the files are not there, or do not fit together.
        """
        try:
            self._seen = self._stamp()
            context = self._current = self._read()
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"cannot read the webhook's certificate from {self._certificate} and {self._key.name}: {error}"
            ) from error
        context.sni_callback = self._renew
        return context

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificate, self._key)
        return context

    def _stamp(self) -> tuple[int, ...]:
        return tuple(
            value
            for stat in (os.stat(self._certificate), os.stat(self._key))  # noqa: PTH116 - follows the Secret's symlinks
            for value in (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        )

    def _renew(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        # OpenSSL calls this in the middle of every handshake, with a server name or without.
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self._current = self._read()
                self._seen = stamp
                logger.info("Reloaded the webhook's certificate")
        except (OSError, ssl.SSLError) as error:
            # Half written: the next connection checks again.
            logger.warning("Cannot read the webhook's new certificate yet; keeping the current one: %s", error)
        if self._current is not None:
            connection.context = self._current


def _probe(checks: Mapping[str, Check]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        problems = [f"{name}: {problem}" for name, check in checks.items() if (problem := check()) is not None]
        if problems:
            return web.Response(status=503, text="\n".join(problems) + "\n")
        return web.Response(text="ok\n")

    return answer


def _webhook(handler: WebhookHandler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        try:
            # An object that is nested too deeply is refused like any other that is invalid, with its field path.
            review = json.loads(cut_depth(await request.read()))
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"the body is not valid JSON: {error}\n") from error
        if not isinstance(review, dict):
            raise web.HTTPBadRequest(text="the body must be a JSON object\n")
        return web.json_response(await handler(review))

    return answer
