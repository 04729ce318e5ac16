"""Events of one namespace among thousands of another."""

from __future__ import annotations

import asyncio

import pytest
from kubernetes import client as kubernetes_client

from penstock.kube.client import ApiClient
from penstock.kube.writer import Writer
from penstock_operator.metrics import Metrics
from penstock_operator.runtime.recorder import WAITING, EventRecorder, Regarding

pytestmark = pytest.mark.api


@pytest.fixture
def other(core, namespace):
    """Another tenant's namespace."""
    name = f"{namespace}-other"
    core.create_namespace(kubernetes_client.V1Namespace(metadata=kubernetes_client.V1ObjectMeta(name=name)))
    yield name
    core.delete_namespace(name)


def test_a_namespace_with_thousands_of_events_takes_none_of_the_share_of_another(connection, core, namespace, other):
    shown: dict[str, int] = {}

    async def scenario() -> None:
        async with ApiClient(connection, metrics=Metrics()) as client:
            recorder = EventRecorder(Writer(client, may_write=lambda: True), instance="test")
            for number in range(WAITING + 500):
                record(recorder, namespace, number)
            for number in range(20):
                record(recorder, other, number)
            # Those of the other are sent in turn, and not behind all that have waited for longer.
            while shown.get(other, 0) < 20:
                shown[other] = await asyncio.to_thread(count, other)
            shown[namespace] = await asyncio.to_thread(count, namespace)
            assert shown[namespace] < WAITING / 2, shown
            await recorder.flush()

    def count(name: str) -> int:
        return len(core.list_namespaced_event(name).items)

    asyncio.run(scenario())
    assert count(namespace) == WAITING


def record(recorder: EventRecorder, namespace: str, number: int) -> None:
    regarding = Regarding("FlowRun", namespace, f"run-{number}", "uid")
    recorder.record(regarding, is_warning=False, reason="Started", note="it has started")
