"""The webhook as a real API server calls it: over TLS, and what kubectl makes of its answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kubernetes import client as kubernetes_client
from prometheus_client import CollectorRegistry

from penstock.api.names import API_VERSION, GROUP
from penstock_operator.webhooks.admission import Admission
from penstock_operator.webhooks.server import HttpServers
from tests.api.review_scene import LOOPBACK, configured, write_certificate
from tests.cluster import binaries

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

START_S = 30.0
IMAGE = "busybox:1.36"


class Answer(NamedTuple):
    """What kubectl said."""

    is_done: bool
    said: str


@pytest.fixture(scope="module")
def webhook(api: kubernetes_client.ApiClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, bytes]]:
    """The webhook server's port and the certificate of who signed for it."""
    if f"//{LOOPBACK}:" not in api.configuration.host:
        pytest.skip("the API server is not on this machine, so it can't call a server on it")
    folder = tmp_path_factory.mktemp("certificates")
    authority = write_certificate(folder)

    async def look_up(_namespace: str, _name: str) -> None:
        return None

    async def may_get(*_asked: object) -> bool:
        return True

    admission = Admission(look_up, look_up, look_up, may_get=may_get)
    servers = HttpServers(
        bind_address=LOOPBACK,
        http_port=0,
        registry=CollectorRegistry(),
        webhook_cert_dir=str(folder),
        webhooks={
            "flows": admission.validate_flow,
            "flowruns": admission.validate_flowrun,
            "schedules": admission.validate_schedule,
            "backfills": admission.validate_backfill,
        },
    )
    loop = asyncio.SelectorEventLoop()

    async def stop() -> None:
        await servers.stop()
        # The API server keeps its connections for the next call: each ends when it has said goodbye, too.
        async with asyncio.timeout(START_S):
            while len(loop._selector.get_map()) > 1:  # type: ignore[attr-defined]  # noqa: ASYNC110 - nothing public tells
                await asyncio.sleep(0)

    thread = threading.Thread(target=loop.run_forever, name="webhook")
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(servers.start(), loop).result(START_S)
        yield servers.webhook_port, authority
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(START_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def asked(api: kubernetes_client.ApiClient, webhook: tuple[int, bytes], namespace: str) -> Iterator[None]:
    """The API server asks the webhook about everything in the test's namespace."""
    port, authority = webhook
    with configured(api, namespace, url=f"https://{LOOPBACK}:{port}/validate", authority=authority):
        yield


@pytest.fixture
def apply(kubeconfig: Path, namespace: str, asked: None) -> Callable[..., Answer]:
    """Apply an object with kubectl. It is asked again until the API server has learned of the webhook: it warns."""
    kubectl = [
        str(binaries.binary("kubectl")),
        f"--kubeconfig={kubeconfig}",
        f"--namespace={namespace}",
        "apply",
        "-f-",
    ]

    def run(obj: Any, *options: str) -> Answer:
        done = subprocess.run([*kubectl, *options], input=json.dumps(obj), capture_output=True, text=True, check=False)
        return Answer(done.returncode == 0, f"{done.stdout}{done.stderr}")

    def apply(kind: str, spec: Any, **metadata: Any) -> Answer:
        return run({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "it", **metadata}, "spec": spec})

    probe = {"apiVersion": API_VERSION, "kind": "Flow", "metadata": {"name": "probe"}, "spec": task(image="busybox")}
    for _ in range(200):
        if "Warning: " in (answer := run(probe, "--dry-run=server")).said:
            return apply
    pytest.fail(f"the API server never asked the webhook; it said last: {answer.said}")


def task(**fields: Any) -> dict[str, Any]:
    return {"tasks": [{"name": "a", "image": IMAGE, **fields}]}


def test_a_refusal_reads_like_the_api_servers_own(apply):
    spec = {"tasks": [{"name": "extract"}, {"name": "load", "image": IMAGE, "dependsOn": ["extrct"]}]}
    answer = apply("Flow", spec)
    assert not answer.is_done
    lines = [line.strip() for line in answer.said.splitlines()]
    assert lines[0] == 'The Flow "it" is invalid:'
    assert "* spec.tasks[0].image: is required: set an image here or in spec.defaults.image" in lines
    assert '* spec.tasks[1].dependsOn[0]: there is no task "extrct" (did you mean "extract"?)' in lines


def test_a_warning_is_shown_and_the_object_is_stored(apply):
    answer = apply("FlowRun", {"flow": {"name": "later"}})
    assert answer.is_done
    assert "Warning: spec.flow.name: Flow later does not exist yet: the run waits for it" in answer.said


def test_what_works_is_stored_in_silence(apply):
    assert apply("Flow", task()) == Answer(is_done=True, said=f"flow.{GROUP}/it created\n")
