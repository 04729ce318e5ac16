from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import io
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from penstock.kube.errors import ConfigurationError
from penstock_operator.metrics import Metrics
from penstock_operator.webhooks.server import MAX_BODY_BYTES, HttpServers


def write_certificate(folder: Path, name: str) -> None:
    """Write a self-signed certificate and its key, as a Secret is mounted."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    begin = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "tls.crt").write_bytes(certificate.public_bytes(pem))
    (folder / "tls.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


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
    metrics.runs.labels("Completed").inc()

    async def scenario() -> None:
        async with serving(registry=metrics.registry) as servers:
            status, kind, text = await get(servers.http_port, "/metrics")
            assert (status, kind.partition(";")[0]) == (200, "text/plain")
            assert 'penstock_runs_total{state="Completed"} 1.0' in text
            _, kind, text = await get(
                servers.http_port, "/metrics", Accept="application/openmetrics-text;version=1.0.0"
            )
            assert kind.startswith("application/openmetrics-text")
            assert text.endswith("# EOF\n")

    asyncio.run(scenario())


def test_every_metric_has_its_documented_name():
    names = {metric.name for metric in Metrics().registry.collect()}
    assert {name for name in names if name.startswith("penstock_")} == {
        "penstock_api_requests",
        "penstock_cache_lookups",
        "penstock_internal_errors",
        "penstock_leader",
        "penstock_parked_objects",
        "penstock_queue_depth",
        "penstock_reconcile_duration_seconds",
        "penstock_removals",
        "penstock_runs",
        "penstock_runs_active",
        "penstock_runs_queued",
        "penstock_schedule_lateness_seconds",
        "penstock_schedule_missed_ticks",
        "penstock_status_flush_duration_seconds",
        "penstock_task_duration_seconds",
        "penstock_tasks",
        "penstock_tasks_running",
    }
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
            serving(webhook_cert_dir=str(tmp_path), webhooks={"/validate/flows": answer}) as servers,
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
