from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import ssl
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509

from penstock.kube.errors import ConfigurationError
from penstock_operator.metrics import Metrics
from penstock_operator.runtime import http_listener
from penstock_operator.webhooks import admission, server
from penstock_operator.webhooks.admission import CHECK_THREADS, Admission
from penstock_operator.webhooks.server import MAX_BODY_BYTES, HttpServers
from tests.unit.certificate import write_certificate


@contextlib.asynccontextmanager
async def serving(**changes):
    settings: dict[str, Any] = {"bind_address": "127.0.0.1", "http_port": 0, "registry": Metrics().registry}
    servers = HttpServers(**(settings | changes))
    await servers.start()
    try:
        yield servers
    finally:
        await servers.stop()


async def get(port: int, path: str, **headers: str) -> tuple[int, str, str]:
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"http://127.0.0.1:{port}{path}") as reply,
    ):
        return reply.status, reply.headers["Content-Type"], await reply.text()


async def presented_name(port: int, server_hostname: str | None) -> str:
    """Connect as the API server does and return the name in the certificate that is shown."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=server_hostname or "")
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    name = x509.load_der_x509_certificate(shown).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(name[0].value)


def test_metrics_are_served_in_the_format_that_is_asked_for():
    metrics = Metrics()
    metrics.runs.labels("team", "orders", "Completed").inc()

    async def scenario() -> None:
        async with serving(registry=metrics.registry) as servers:
            status, kind, text = await get(servers.http_port, "/metrics")
            assert (status, kind.partition(";")[0]) == (200, "text/plain")
            assert 'penstock_runs_total{flow="orders",namespace="team",state="Completed"} 1.0' in text
            _, kind, text = await get(
                servers.http_port, "/metrics", Accept="application/openmetrics-text;version=1.0.0"
            )
            assert kind.startswith("application/openmetrics-text")
            assert text.endswith("# EOF\n")

    asyncio.run(scenario())


def test_the_process_is_measured_too():
    names = {metric.name for metric in Metrics().registry.collect()}
    assert "process_resident_memory_bytes" in names


def test_probes_say_what_is_wrong():
    problems: dict[str, str | None] = {"stream": None, "lease": None}
    health = {name: (lambda name=name: problems[name]) for name in problems}

    async def scenario() -> None:
        async with serving(health=health, readiness={"synced": lambda: "still listing"}) as servers:
            assert (await get(servers.http_port, "/healthz"))[::2] == (200, "ok\n")
            problems["stream"] = "nothing heard for 300 s"
            assert (await get(servers.http_port, "/healthz"))[::2] == (503, "stream: nothing heard for 300 s\n")
            assert (await get(servers.http_port, "/readyz"))[::2] == (503, "synced: still listing\n")

    asyncio.run(scenario())


def test_webhooks_are_served_over_tls_and_nowhere_else(tmp_path):
    write_certificate(tmp_path, "first")

    async def answer(review: dict) -> dict:
        return {"response": {"uid": review["request"]["uid"]}}

    async def scenario() -> None:
        async with (
            serving(webhook_cert_dir=str(tmp_path), webhooks={"flows": answer}) as servers,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session,
        ):
            url = f"https://127.0.0.1:{servers.webhook_port}/validate/flows"
            async with session.post(url, json={"request": {"uid": "7"}}) as reply:
                assert await reply.json() == {"response": {"uid": "7"}}
            async with session.post(
                url, data=b'{"request":{"uid":"8","object":' + b"[" * 9000 + b"]" * 9000 + b"}}"
            ) as reply:
                assert await reply.json() == {"response": {"uid": "8"}}
            async with session.post(url, data=b"{") as reply:
                assert reply.status == 400
            async with session.post(url, data=b"[]") as reply:
                assert reply.status == 400
            async with session.post(url, data=io.BytesIO(b" " * (MAX_BODY_BYTES + 1))) as reply:
                assert reply.status == 413
            async with session.post(f"http://127.0.0.1:{servers.http_port}/validate/flows", json={}) as reply:
                assert reply.status == 404

    asyncio.run(scenario())


TOKEN = "k3" * 20


SEEN_TOKEN = hashlib.sha256(f"{TOKEN}-{server.APPROVALS}".encode()).hexdigest()
"""That of the reviews about approvals, which users may have seen."""


async def echo(review: dict) -> dict:
    return {"response": review}


@contextlib.asynccontextmanager
async def calling(folder: Path, webhooks: Mapping[str, Any], token: str = TOKEN):
    """Serve webhooks whose callers need a token; yields what posts to a path."""
    write_certificate(folder, "first")
    (folder / "token").write_text(token)
    async with (
        serving(webhook_cert_dir=str(folder), webhook_token_file=str(folder / "token"), webhooks=webhooks) as servers,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False, limit=0)) as session,
    ):

        async def post(path: str, body: Any = b"{}", method: str = "POST", **headers: str) -> tuple[int, str]:
            url = f"https://127.0.0.1:{servers.webhook_port}{path}"
            async with session.request(method, url, data=body, headers=headers) as reply:
                return reply.status, await reply.text()

        yield post


def test_a_caller_without_the_token_gets_no_answer_and_nothing_is_checked(tmp_path):
    called = []

    async def check(review: dict) -> dict:
        called.append(review)
        return {}

    async def scenario() -> None:
        async with calling(tmp_path, {"flows": check}) as post:
            paths = [
                "/validate/flows",
                "/validate//flows",
                f"/validate/{TOKEN[:-1]}/flows",
                f"/validate/{TOKEN}x/flows",
                f"/validate/{TOKEN}/nothing",
                f"/validate/{TOKEN}/",
                f"/{TOKEN}/flows",
                "/validate/%C3%A4/flows",
                "/",
            ]
            assert [await post(path) for path in paths] == [(404, "not found\n")] * len(paths)
            assert await post(f"/validate/{TOKEN}/flows", method="GET") == (404, "not found\n")
            assert not called
            assert await post(f"/validate/{TOKEN}/flows") == (200, "{}")

    asyncio.run(scenario())


def test_nothing_of_what_a_caller_without_the_token_sends_is_read(tmp_path):
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 2**16

    async def scenario() -> None:
        async with calling(tmp_path, {"flows": echo}) as post:
            with contextlib.suppress(aiohttp.ClientError):
                assert await post("/validate/flows", endless()) == (404, "not found\n")

    asyncio.run(scenario())


def test_a_new_token_is_used_when_it_is_there(tmp_path):
    other = "z" * 40

    async def scenario() -> None:
        async with calling(tmp_path, {"flows": echo}) as post:
            (tmp_path / "token").write_text("half")
            assert (await post(f"/validate/{TOKEN}/flows"))[0] == 200
            (tmp_path / "token").write_text(other)
            assert (await post(f"/validate/{TOKEN}/flows"))[0] == 404
            assert (await post(f"/validate/{other}/flows"))[0] == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("token", ["", "short", "A" * 40, "a" * 129], ids=["none", "short", "capitals", "long"])
def test_an_invalid_token_is_reported_at_the_start_and_not_shown(tmp_path, token):
    async def scenario() -> None:
        with pytest.raises(ConfigurationError, match="it must have 32 to 128 lower-case letters") as refused:
            async with calling(tmp_path, {}, token):
                pass
        assert not token or token not in str(refused.value)

    asyncio.run(scenario())


def test_large_reviews_wait_for_each_other_and_do_not_delay_small_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "QUEUE_S", 0.5)
    large = b'{"large": "' + b"x" * server.LARGE_BYTES + b'"}'

    async def scenario() -> None:
        checking, may_end = asyncio.Semaphore(0), asyncio.Event()

        async def check(review: dict) -> dict:
            if "large" in review:
                checking.release()
                await may_end.wait()
            return {}

        async with calling(tmp_path, {"flows": check}) as post:
            path = f"/validate/{TOKEN}/flows"
            first = [asyncio.create_task(post(path, large)) for _ in range(server.LARGE_REVIEWS)]
            for _ in first:
                await checking.acquire()
            assert await post(path) == (200, "{}")
            assert await post(path, large) == (503, "too many reviews are in progress\n")
            waiting = asyncio.create_task(post(path, large))
            may_end.set()
            assert await asyncio.gather(*first, waiting) == [(200, "{}")] * 3

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["flows", server.APPROVALS])
def test_a_caller_that_sends_a_small_body_slowly_holds_no_slot(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(server, "QUEUE_S", 0.5)
    monkeypatch.setattr(server, "REVIEWS", 1)

    async def scenario() -> None:
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"{"
            begun.set()
            await may_end.wait()
            yield b"}"

        async with calling(tmp_path, {kind: echo}) as post:
            path = f"/validate/{TOKEN if kind == 'flows' else SEEN_TOKEN}/{kind}"
            held = asyncio.create_task(post(path, slow(), **{"Content-Length": "2"}))
            await begun.wait()
            assert [await post(path) for _ in range(3)] == [(200, '{"response": {}}')] * 3
            may_end.set()
            assert (await held)[0] == 200

    asyncio.run(scenario())


def test_reviews_about_approvals_take_no_slot_and_no_trust_of_the_others(tmp_path, monkeypatch):
    """Users may have seen their token."""
    monkeypatch.setattr(server, "QUEUE_S", 0.5)
    monkeypatch.setattr(server, "REVIEWS", 1)
    trusted = []

    def trust(connection: http_listener.Connection) -> None:
        trusted.append(connection)

    monkeypatch.setattr(http_listener.Connection, "trust", trust)

    async def scenario() -> None:
        checking, may_end = asyncio.Event(), asyncio.Event()

        async def check(_review: dict) -> dict:
            checking.set()
            await may_end.wait()
            return {}

        async with calling(tmp_path, {"flows": echo, server.APPROVALS: check}) as post:
            path = f"/validate/{SEEN_TOKEN}/{server.APPROVALS}"
            held = asyncio.create_task(post(path))
            await checking.wait()
            assert await post(path) == (503, "too many reviews are in progress\n")
            assert not trusted
            assert (await post(f"/validate/{TOKEN}/flows"))[0] == 200
            assert len(trusted) == 1
            may_end.set()
            assert (await held)[0] == 200

    asyncio.run(scenario())


# Seconds: only a failure waits so long.
DEADLINE_S = 60
FLOW_SPEC = {"tasks": [{"name": "load", "image": "etl:1"}]}


@pytest.mark.parametrize(
    ("kind", "check", "spec"),
    [("flows", "check_flow", FLOW_SPEC), ("flowruns", "check_run", {"flowSpec": FLOW_SPEC})],
)
def test_health_checks_are_answered_while_reviews_are_validated(tmp_path, monkeypatch, kind, check, spec):
    validating, may_end = threading.Semaphore(0), threading.Event()

    def validate(*_spec: object) -> list[object]:
        validating.release()
        # Forever, if this were the thread that answers the health check.
        assert may_end.wait(DEADLINE_S), "no health check was answered while the review was validated"
        return []

    async def never(*_asked: object) -> Any:
        raise AssertionError

    monkeypatch.setattr(admission, check, validate)
    reviewer = Admission(never, never, never, may_get=never)
    handler = {"flows": reviewer.validate_flow, "flowruns": reviewer.validate_flowrun}[kind]
    body = json.dumps({"request": {"operation": "CREATE", "object": {"spec": spec}}}).encode()

    async def scenario() -> None:
        async with calling(tmp_path, {kind: handler}) as post, serving() as servers:
            reviews = [asyncio.create_task(post(f"/validate/{TOKEN}/{kind}", body)) for _ in range(CHECK_THREADS + 1)]
            for _ in range(CHECK_THREADS):
                assert await asyncio.to_thread(validating.acquire, timeout=DEADLINE_S)
            assert (await get(servers.http_port, "/healthz"))[0] == 200
            may_end.set()
            assert {status for status, _ in await asyncio.gather(*reviews)} == {200}

    asyncio.run(scenario())


@pytest.mark.parametrize("server_hostname", ["penstock-webhook.penstock.svc", None], ids=["by name", "by address"])
def test_a_new_certificate_is_shown_to_the_next_connection(tmp_path, server_hostname):
    write_certificate(tmp_path, "first")

    async def scenario() -> None:
        async with serving(webhook_cert_dir=str(tmp_path)) as servers:
            assert await presented_name(servers.webhook_port, server_hostname) == "first"
            write_certificate(tmp_path, "second")
            assert await presented_name(servers.webhook_port, server_hostname) == "second"

    asyncio.run(scenario())


def test_a_certificate_that_is_half_written_does_not_end_the_service(tmp_path, caplog):
    write_certificate(tmp_path, "first")

    async def scenario() -> None:
        async with serving(webhook_cert_dir=str(tmp_path)) as servers:
            (tmp_path / "tls.crt").write_text("half")
            assert await presented_name(servers.webhook_port, "x") == "first"
            write_certificate(tmp_path, "second")
            assert await presented_name(servers.webhook_port, "x") == "second"

    asyncio.run(scenario())
    assert "Cannot read the webhook's new certificate yet" in caplog.text


def test_a_missing_certificate_is_reported_at_the_start(tmp_path):
    async def scenario() -> None:
        with pytest.raises(
            ConfigurationError, match=r"cannot read the webhook's certificate from .*tls.crt and tls.key"
        ):
            async with serving(webhook_cert_dir=str(tmp_path)):
                pass

    asyncio.run(scenario())


def test_a_port_that_is_taken_is_reported():
    async def scenario() -> None:
        async with serving() as servers:
            with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{servers.http_port}"):
                async with serving(http_port=servers.http_port):
                    pass

    asyncio.run(scenario())
