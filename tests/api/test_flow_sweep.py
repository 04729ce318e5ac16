"""Revisions of Flows that nothing needs any more are deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from penstock.api import names
from penstock.engine.workloads.pod import PodSettings
from penstock.kube.client import ApiClient
from penstock.kube.connection import Connection
from penstock.kube.resources import FLOWS
from penstock.kube.writer import Writer
from penstock_operator.flow_defaults.in_force import NamespaceDefaults
from penstock_operator.flow_metrics import FlowMetrics
from penstock_operator.flows.controller import FlowController
from penstock_operator.flows.dry_run import DryRun
from penstock_operator.flows.store import FlowStore
from penstock_operator.metrics import Metrics
from penstock_operator.runtime.recorder import EventRecorder

pytestmark = pytest.mark.api


@asynccontextmanager
async def controller(connection: Connection, namespace: str, in_use: set[str]) -> AsyncIterator[FlowController]:
    """Give one that knows no Flow, of runs that need these revisions."""
    async with ApiClient(connection, metrics=Metrics()) as client:
        writer = Writer(client, work_in_flight=4, may_write=lambda: True)
        yield FlowController(
            client,
            store=FlowStore(client, writer, NamespaceDefaults(client)),
            dry_run=DryRun(writer, PodSettings(user=65532, is_tracked=True)),
            namespaces=[namespace],
            on_ready=lambda _: None,
            on_retention=lambda *_: None,
            revisions_in_use=lambda: {(namespace, name) for name in in_use},
            flow_metrics=FlowMetrics(Metrics()),
            resource=FLOWS,
            kind="Flow",
            writer=writer,
            recorder=EventRecorder(writer, instance="test"),
            metrics=Metrics(),
            fail=lambda error: pytest.fail(f"the process would end: {error}"),
        )


def test_a_sweep_that_finds_nothing_is_well(connection, namespace):
    # Of no objects at all the API server's list of metadata says null.
    async def scenario() -> None:
        async with controller(connection, namespace, set()) as flows:
            await flows._sweep_once()

    asyncio.run(scenario())


def test_a_revision_goes_when_two_sweeps_have_found_no_use_for_it(connection, namespace, core):
    for name, of_ours in (
        ("unused", {names.LABEL_FLOW_UID: "1"}),
        ("needed", {names.LABEL_FLOW_UID: "1"}),
        ("inline", {names.LABEL_FLOW_UID: "1", names.LABEL_RUN: "run"}),
        ("foreign", {}),
    ):
        labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, "test": "sweep", **of_ours}
        core.create_namespaced_config_map(namespace, {"metadata": {"name": name, "labels": labels}})

    def left() -> set[str]:
        found = core.list_namespaced_config_map(namespace, label_selector="test=sweep")
        return {item.metadata.name for item in found.items}

    async def scenario() -> None:
        async with controller(connection, namespace, {"needed"}) as flows:
            await flows._sweep_once()
            assert left() == {"unused", "needed", "inline", "foreign"}
            await flows._sweep_once()
            assert left() == {"needed", "inline", "foreign"}

    asyncio.run(scenario())
