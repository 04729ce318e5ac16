"""What a run costs the API server and the operator: counted, not timed, so that a change which costs more is seen."""

from __future__ import annotations

import urllib.request
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.kube.connection import Connection
from tests.api.replica import Replica
from tests.api.scene import Scene, task

pytestmark = pytest.mark.api


class Cost(NamedTuple):
    """What the operator's metrics say so far."""

    looks: float
    creates: float
    statuses: float
    pod_patches: float


@pytest.fixture
def operator(kubeconfig, scene, tmp_path) -> Iterator[Replica]:
    """An operator that has nothing else to do."""
    lease = f"economy-{uuid.uuid4().hex[:8]}"
    with Replica(kubeconfig, tmp_path, namespace=scene.namespace, lease=lease) as replica:
        yield replica


def cost(operator: Replica) -> Cost:
    def writes(verb: str, resource: str) -> float:
        return operator.metric("penstock_api_requests_total", verb=verb, resource=resource)

    return Cost(
        operator.metric("penstock_reconcile_duration_seconds_count"),
        writes("create", "pods"),
        writes("patch", "flowruns/status"),
        writes("patch", "pods"),
    )


def written_bytes(connection: Connection) -> float:
    """Return the size of all that was ever written to runs, their creation included, as the API server counts it."""
    request = urllib.request.Request(f"{connection.server}/metrics", headers=connection.headers)
    with urllib.request.urlopen(request, context=connection.ssl_context, timeout=30) as reply:
        text = reply.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "apiserver_request_body_size_bytes_sum" and sample.labels["resource"] == "flowruns"
    )


def test_a_run_of_one_task_takes_few_looks_and_few_writes(operator, connection, scene):
    before = written_bytes(connection)
    scene.start(task(pod_start_after="100ms", pod_run_for="100ms"))
    scene.finish()

    found = cost(operator)

    assert (found.creates, found.pod_patches) == (1, 1)
    assert found.statuses <= 4, "begun, running, over, and one more for what happens in between"
    assert found.looks < 10
    assert written_bytes(connection) - before < 6_000


def test_a_fan_out_costs_each_item_a_create_and_a_release_and_the_run_a_few_statuses(operator, connection, scene):
    before = written_bytes(connection)
    scene.start(task(forEach={"count": 200}))
    scene.finish(within_s=120)

    found = cost(operator)

    assert (found.creates, found.pod_patches) == (200, 200)
    assert found.statuses <= 20
    assert found.looks <= 200 * 5, "created, scheduled, running, finished, and without its finalizer"
    assert written_bytes(connection) - before < 40_000


def test_an_untracked_fan_out_costs_each_item_a_create_alone(operator, scene: Scene):
    scene.start(task(forEach={"count": 200}), trackPods=False)
    scene.finish(within_s=120)

    found = cost(operator)

    assert (found.creates, found.pod_patches) == (200, 0)
