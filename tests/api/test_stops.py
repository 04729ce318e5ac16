"""What is done to the Pod of an attempt that should not go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.engine.keys import RunKey, TaskInstanceKey
from penstock.engine.machine.effects import StopAttempt
from penstock.engine.reasons import Reason
from penstock.engine.workloads.pod import PodSettings
from penstock.kube.client import ApiClient
from penstock.kube.connection import Connection
from penstock.kube.writer import Writer
from penstock_operator.metrics import Metrics
from penstock_operator.runs.attempts.pods import AttemptPods
from penstock_operator.runs.listener import Listener
from penstock_operator.runs.live_run import LiveRun
from tests.api.scene import Scene

pytestmark = pytest.mark.api


def nobody(*_: Any) -> Any:
    """Hear what nobody needs to hear here."""


def stop(connection: Connection, scene: Scene, pod: str, reason: Reason | None) -> None:
    """Have the Pod of an attempt stopped."""

    async def scenario() -> None:
        async with ApiClient(connection, metrics=Metrics()) as client:
            writer = Writer(client, work_in_flight=1, may_write=lambda: True)
            pods = AttemptPods(
                client,
                writer,
                settings=PodSettings(user=65532, is_tracked=True),
                listener=Listener(nobody, nobody, nobody, nobody, nobody, nobody, nobody, nobody),
                clock=lambda: 0.0,
            )
            run = LiveRun(
                key=RunKey(scene.namespace, "run"), uid="uid", generation=1, resource_version="1", body={"metadata": {}}
            )
            uid = scene.now["pods"][pod].metadata.uid
            await pods.stop(run, StopAttempt(TaskInstanceKey("main"), 1, pod, uid, reason))

    asyncio.run(scenario())


def start_pod(scene: Scene, outcome: str, phase: str) -> str:
    body: Any = {
        "metadata": {"name": "p", "annotations": {"fake.penstock.dev/outcome": outcome}, "finalizers": ["test.dev/x"]},
        "spec": {"containers": [{"name": "main", "image": "x"}], "restartPolicy": "Never"},
    }
    scene.core.create_namespaced_pod(scene.namespace, body)
    scene.until(lambda: "p" in scene.now["pods"] and scene.now["pods"]["p"].status.get("phase") == phase, phase)
    return "p"


def let_go(scene: Scene) -> None:
    scene.core.patch_namespaced_pod(
        "p", scene.namespace, {"metadata": {"finalizers": None}}, _content_type="application/merge-patch+json"
    )


def test_a_pod_that_is_over_is_not_deleted_for_being_in_the_way(connection, scene):
    # An older event, "it runs", may come after a read that said how it ended: for that a Pod was deleted and made anew.
    pod = start_pod(scene, "succeed", "Succeeded")

    stop(connection, scene, pod, None)

    left: Any = scene.core.read_namespaced_pod(pod, scene.namespace)
    let_go(scene)
    assert left.metadata.deletion_timestamp is None


@pytest.mark.parametrize("reason", [None, Reason.DEADLINE_EXCEEDED])
def test_a_pod_that_goes_on_is_deleted(connection, scene, reason):
    pod = start_pod(scene, "run", "Running")

    stop(connection, scene, pod, reason)

    scene.until(lambda: scene.now["pods"]["p"].metadata.deletion_timestamp is not None, "the Pod to be deleted")
    let_go(scene)
