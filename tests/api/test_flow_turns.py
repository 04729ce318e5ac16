"""Large Flows are compiled one at a time, but none waits for what the API server does about another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from penstock.api.flow import Retention
from penstock.engine.keys import ObjectKey
from penstock.engine.validation.validation import parse_flow
from penstock.engine.workloads.pod import PodSettings
from penstock.kube.client import ApiClient
from penstock.kube.connection import Connection
from penstock.kube.kinds.flow_defaults import FlowDefaults
from penstock.kube.reflector import EventType
from penstock.kube.resources import FLOWS
from penstock.kube.writer import Writer
from penstock_operator.flow_defaults import in_force
from penstock_operator.flow_defaults.in_force import NamespaceDefaults, ReadDefaults, read_defaults
from penstock_operator.flow_metrics import FlowMetrics
from penstock_operator.flows import store as flow_store
from penstock_operator.flows.controller import FlowController
from penstock_operator.flows.dry_run import DryRun
from penstock_operator.flows.large_specs import LARGE_BYTES
from penstock_operator.flows.store import FlowStore
from penstock_operator.metrics import Metrics
from penstock_operator.runtime.recorder import EventRecorder
from tests.api.faults import FaultProxy, Matcher, Seen
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api

LARGE = {"tasks": [task(args=["x" * LARGE_BYTES])]}


def is_revision(seen: Seen) -> bool:
    return seen.method == "POST" and seen.path.endswith("/configmaps")


def is_sample(seen: Seen) -> bool:
    return seen.method == "POST" and "dryRun" in seen.query


def is_read_of_defaults(seen: Seen) -> bool:
    return seen.method == "GET" and "/flowdefaults/" in seen.path


class Flows(NamedTuple):
    """The part of an operator that is about Flows, behind a proxy."""

    proxy: FaultProxy
    store: FlowStore
    controller: FlowController
    retention: dict[ObjectKey, Retention | None]
    """What the controller said last."""

    async def reconcile(self, key: ObjectKey) -> None:
        found = await self.store.read_flow(key)
        assert found is not None
        self.controller.objects[key] = found
        await self.controller.reconcile(key, found)

    async def current(self, key: ObjectKey) -> None:
        assert await self.store.current(key) is not None


@asynccontextmanager
async def flows(connection: Connection) -> AsyncIterator[Flows]:
    async with FaultProxy(connection) as proxy, ApiClient(proxy.connection, metrics=Metrics()) as client:
        writer = Writer(client, work_in_flight=4, may_write=lambda: True)
        store = FlowStore(client, writer, NamespaceDefaults(client))
        retention: dict[ObjectKey, Retention | None] = {}
        controller = FlowController(
            client,
            store=store,
            dry_run=DryRun(writer, PodSettings(user=65532, is_tracked=True)),
            namespaces=[],
            on_ready=lambda _: None,
            on_retention=retention.__setitem__,
            revisions_in_use=set,
            flow_metrics=FlowMetrics(Metrics()),
            resource=FLOWS,
            kind="Flow",
            writer=writer,
            recorder=EventRecorder(writer, instance="test"),
            metrics=Metrics(),
            fail=lambda error: pytest.fail(f"the process would end: {error}"),
        )
        yield Flows(proxy, store, controller, retention)


@pytest.mark.parametrize(
    ("use", "held"),
    [
        pytest.param(Flows.current, is_revision, id="a run starts, and its revision is stored"),
        pytest.param(Flows.reconcile, is_revision, id="a Flow is validated, and its revision is stored"),
        pytest.param(Flows.reconcile, is_sample, id="a Flow is validated, and its Pods are asked about"),
    ],
)
def test_a_large_flow_that_waits_for_the_api_server_lets_others_have_their_turn(
    scene: Scene, connection: Connection, use, held: Matcher
):
    scene.create("Flow", "large", LARGE)

    async def scenario() -> None:
        async with flows(connection) as operator:
            waits = operator.proxy.hold(held)
            using = asyncio.create_task(use(operator, ObjectKey(scene.namespace, "large")))
            await operator.proxy.wait_for_requests(held, 1)
            async with asyncio.timeout(10), operator.store.large_specs.turn("another", LARGE):
                assert not using.done()
            waits.released.set()
            await using

    asyncio.run(scenario())


def test_runs_of_one_large_flow_that_start_together_have_it_parsed_and_stored_once(
    scene: Scene, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    scene.create("Flow", "large", LARGE)
    parsed = []

    def parse_and_count(flow):
        parsed.append(flow)
        return parse_flow(flow)

    monkeypatch.setattr(flow_store, "parse_flow", parse_and_count)

    async def scenario() -> None:
        async with flows(connection) as operator:
            key = ObjectKey(scene.namespace, "large")
            await asyncio.gather(*(operator.current(key) for _ in range(5)))
            assert operator.proxy.count(is_revision) == 1

    asyncio.run(scenario())
    assert len(parsed) == 1


@pytest.mark.parametrize("held", [is_read_of_defaults, is_revision, is_sample])
def test_nothing_is_kept_of_a_flow_that_is_deleted_while_it_is_validated(
    scene: Scene, connection: Connection, held: Matcher
):
    scene.create("Flow", "gone", {"tasks": [task()], "retention": {"completed": "1h"}})

    async def scenario() -> None:
        async with flows(connection) as operator:
            key, controller = ObjectKey(scene.namespace, "gone"), operator.controller
            waits = operator.proxy.hold(held)
            validating = asyncio.create_task(operator.reconcile(key))
            await operator.proxy.wait_for_requests(held, 1)
            controller.on_object(EventType.DELETED, controller.objects[key])
            waits.released.set()
            await validating
            assert operator.retention[key] is None
            # Revisions would never be swept otherwise.
            assert [controller._current, controller._defaults, controller._dry_runs] == [{}, {}, {}]

    asyncio.run(scenario())


def test_large_defaults_are_read_once_beside_the_loop_while_only_labels_and_conditions_change(
    scene: Scene, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    threads = []

    def read_and_note(found: FlowDefaults) -> ReadDefaults:
        threads.append(threading.current_thread())
        return read_defaults(found)

    monkeypatch.setattr(in_force, "read_defaults", read_and_note)
    scene.create("FlowDefaults", "default", {"timeout": "1m"})

    async def scenario() -> None:
        async with flows(connection) as operator:
            first = await operator.store.defaults.current(scene.namespace)
            scene.patch("FlowDefaults", "default", {"metadata": {"labels": {"a": "b"}}})
            scene.patch("FlowDefaults", "default", {"status": {"observedGeneration": 1}}, is_status=True)
            assert await operator.store.defaults.current(scene.namespace) is first
            scene.patch("FlowDefaults", "default", {"spec": {"timeout": "2m"}})
            assert (await operator.store.defaults.current(scene.namespace)).fingerprint != first.fingerprint

    asyncio.run(scenario())
    assert len(threads) == 2
    assert threading.main_thread() not in threads
