"""How the Pod of an attempt is stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
import pytest
from kubernetes.client import AdmissionregistrationV1Api
from kubernetes.client.exceptions import ApiException

from penstock.api import names
from penstock.engine.keys import RunKey, TaskInstanceKey
from penstock.engine.machine.effects.effects import StopAttempt
from penstock.engine.names import pod_name
from penstock.engine.reasons import Reason
from penstock.engine.workloads.pod import PodSettings
from penstock.kube.client import ApiClient
from penstock.kube.connection import Connection
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.reflector import EventType
from penstock.kube.writer import Writer
from penstock_operator.metrics import Metrics
from penstock_operator.runs.attempts.orphans import Orphans
from penstock_operator.runs.attempts.pod_writer import PodWriter
from penstock_operator.runs.attempts.pods import AttemptPods
from penstock_operator.runs.attempts.reader import RetryingReader
from penstock_operator.runs.initial_sync import InitialSync
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.runtime.slow_pool import SlowPool
from penstock_operator.workloads.pod import Pod
from tests.api.scene import Scene

pytestmark = pytest.mark.api


def fail(error: BaseException) -> None:
    raise AssertionError("this process leads") from error


def on_error(run: LiveRun, error: Exception) -> None:
    raise AssertionError(f"{run.key}") from error


class HastyClock:
    """Time that passes as it does, and at once where somebody would sleep."""

    def __init__(self) -> None:
        self._skipped_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._skipped_s

    async def sleep(self, pause_s: float) -> None:
        self._skipped_s += pause_s
        await asyncio.sleep(0)


@asynccontextmanager
async def attempts(connection: Connection, namespace: str) -> AsyncIterator[tuple[AttemptPods, LiveRun]]:
    """What handles the Pods of attempts, and a live run."""
    clock = HastyClock()
    async with ApiClient(connection, metrics=Metrics()) as client:
        writer = Writer(client, work_in_flight=1, may_write=lambda: True, clock=clock, sleep=clock.sleep)
        registry = RunRegistry(writer, metrics=Metrics(), fail=fail, on_error=on_error, clock=lambda: 0.0)
        pod_writer = PodWriter(writer)
        pods = AttemptPods(
            client,
            writer,
            pod_writer,
            orphans=Orphans(RetryingReader(client), pod_writer, registry, InitialSync(registry)),
            registry=registry,
            slow_pool=SlowPool(),
            settings=PodSettings(user=65532, is_tracked=True),
            clock=lambda: 0.0,
        )
        run = LiveRun(key=RunKey(namespace, "run"), uid="uid", generation=1, resource_version="1", object=FlowRun())
        registry.add_run(run)
        yield pods, run
        await pods.close()
        # What it reads and writes in the background.
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


def stop(connection: Connection, scene: Scene, pod: str, reason: Reason | None, *, is_in_place: bool = False) -> None:
    """Have the Pod of an attempt stopped."""

    async def scenario() -> None:
        async with attempts(connection, scene.namespace) as (pods, run):
            uid = scene.now["pods"][pod].metadata.uid
            await pods.stop_attempt(run, StopAttempt(TaskInstanceKey("main"), 1, pod, uid, reason, is_in_place))

    asyncio.run(scenario())


def start_pod(scene: Scene, outcome: str, phase: str, *sidecars: str) -> str:
    annotations = {"fake.penstock.dev/outcome": outcome, "fake.penstock.dev/others": "run"}
    body: Any = {
        "metadata": {"name": "p", "annotations": annotations, "finalizers": ["test.dev/x"]},
        "spec": {
            "containers": [{"name": each, "image": "x"} for each in ("main", *sidecars)],
            "restartPolicy": "Never",
        },
    }
    scene.core.create_namespaced_pod(scene.namespace, body)
    scene.until(lambda: "p" in scene.now["pods"] and scene.now["pods"]["p"].status.get("phase") == phase, phase)
    return "p"


def state_of_main(scene: Scene, pod: str) -> dict[str, Any]:
    found = scene.now["pods"][pod].status.get("containerStatuses", ())
    state: dict[str, Any] = next((one["state"] for one in found if one["name"] == "main"), {})
    return state


def remove_finalizers(scene: Scene) -> None:
    scene.core.patch_namespaced_pod(
        "p", scene.namespace, {"metadata": {"finalizers": None}}, _content_type="application/merge-patch+json"
    )


def test_a_finished_pod_that_is_in_the_way_is_not_deleted(connection, scene):
    # An older event, "it runs", may come after a read that showed how it ended: a Pod was deleted and created again.
    pod = start_pod(scene, "succeed", "Succeeded")

    stop(connection, scene, pod, None)

    left: Any = scene.core.read_namespaced_pod(pod, scene.namespace)
    remove_finalizers(scene)
    assert left.metadata.deletion_timestamp is None


@pytest.mark.parametrize("reason", [None, Reason.DEADLINE_EXCEEDED])
def test_a_running_pod_is_deleted(connection, scene, reason):
    pod = start_pod(scene, "run", "Running")

    stop(connection, scene, pod, reason)

    scene.until(lambda: scene.now["pods"]["p"].metadata.deletion_timestamp is not None, "the Pod to be deleted")
    remove_finalizers(scene)


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"phase": "Running"}, id="before it had ended"),
        pytest.param(
            {
                "phase": "Failed",
                "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}],
                "containerStatuses": [
                    {
                        "name": "main",
                        "state": {"terminated": {"exitCode": 143, "finishedAt": "2026-01-01T00:00:10Z"}},
                    }
                ],
            },
            id="by a disruption",
        ),
    ],
)
def test_when_a_pod_was_to_stop_is_known_until_it_is_gone(connection, namespace, status):
    key = TaskInstanceKey("main")
    owner = {"apiVersion": names.API_VERSION, "kind": "FlowRun", "name": "run", "uid": "uid", "controller": True}
    metadata = {
        "name": pod_name("run", "uid", key, 1),
        "namespace": namespace,
        "uid": "of the pod",
        "labels": {names.LABEL_RUN: "run", names.LABEL_RUN_UID: "uid", names.LABEL_TASK: "main"}
        | {names.LABEL_ATTEMPT: "1"},
        "ownerReferences": [owner],
        "deletionTimestamp": "2026-01-01T00:00:30Z",
        "deletionGracePeriodSeconds": 30,
    }
    pod = msgspec.convert({"metadata": metadata, "status": status}, type=Pod)

    async def scenario() -> None:
        async with attempts(connection, namespace) as (pods, run):
            pods.on_pod(EventType.MODIFIED, pod)
            assert list(run.stop_requests) == ["of the pod"]
            pods.on_pod(EventType.DELETED, pod)
            assert run.stop_requests == {}

    asyncio.run(scenario())


def test_a_running_pod_is_ended_in_place_and_says_when_that_was_asked_for(connection, scene):
    pod = start_pod(scene, "run", "Running")

    stop(connection, scene, pod, Reason.RUN_CANCELLED, is_in_place=True)

    scene.until(lambda: scene.now["pods"]["p"].status.get("phase") == "Failed", "the Pod to end")
    ended = scene.now["pods"]["p"]
    remove_finalizers(scene)
    assert ended.metadata.deletion_timestamp is None
    assert ended.metadata.annotations["penstock.dev/stop-time"] == "1970-01-01T00:00:00Z"


def test_a_pod_that_must_not_be_changed_is_deleted(connection, api, scene):
    pod = start_pod(scene, "run", "Running")
    with refusing_deadlines(api, scene):
        stop(connection, scene, pod, Reason.RUN_CANCELLED, is_in_place=True)

        scene.until(lambda: scene.now["pods"]["p"].metadata.deletion_timestamp is not None, "the Pod to be deleted")
    remove_finalizers(scene)


@pytest.mark.parametrize("has_ended", [False, True], ids=["main runs", "only a sidecar runs"])
def test_a_pod_whose_changes_fail_for_long_is_deleted(connection, api, scene, has_ended):
    pod = start_pod(scene, "succeed" if has_ended else "run", "Running", "side")
    if has_ended:
        scene.until(lambda: "terminated" in state_of_main(scene, pod), "main to end")
    with failing_deadlines(api, scene):
        stop(connection, scene, pod, None if has_ended else Reason.RUN_CANCELLED, is_in_place=not has_ended)

        scene.until(lambda: scene.now["pods"]["p"].metadata.deletion_timestamp is not None, "the Pod to be deleted")
    remove_finalizers(scene)


@contextmanager
def refusing_deadlines(api: Any, scene: Scene) -> Iterator[None]:
    """Have the API server refuse to end the Pods of a namespace, as a policy of a cluster may."""
    policies: Any = AdmissionregistrationV1Api(api)
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["UPDATE"]}
    spec: dict[str, Any] = {
        "matchConstraints": {
            "resourceRules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}},
        },
        "validations": [{"expression": "!has(object.spec.activeDeadlineSeconds)", "message": "no deadlines here"}],
    }
    name = scene.namespace
    policies.create_validating_admission_policy({"metadata": {"name": name}, "spec": spec})
    binding = {"policyName": name, "validationActions": ["Deny"]}
    policies.create_validating_admission_policy_binding({"metadata": {"name": name}, "spec": binding})
    try:
        # It is in force a moment after it was made.
        assert any(not may_end(scene, "no deadlines here") for _ in range(10_000))
        yield
    finally:
        policies.delete_validating_admission_policy_binding(name)
        policies.delete_validating_admission_policy(name)


@contextmanager
def failing_deadlines(api: Any, scene: Scene) -> Iterator[None]:
    """Have the API server ask a webhook that is down whether the Pods of a namespace may be ended."""
    webhooks: Any = AdmissionregistrationV1Api(api)
    webhook: dict[str, Any] = {
        "name": "down.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["UPDATE"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}},
        "matchConditions": [{"name": "deadline", "expression": "has(object.spec.activeDeadlineSeconds)"}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    webhooks.create_validating_webhook_configuration({"metadata": {"name": scene.namespace}, "webhooks": [webhook]})
    try:
        assert any(not may_end(scene, "failed calling webhook") for _ in range(10_000))
        yield
    finally:
        webhooks.delete_validating_webhook_configuration(scene.namespace)


def may_end(scene: Scene, refusal: str) -> bool:
    try:
        scene.core.patch_namespaced_pod("p", scene.namespace, {"spec": {"activeDeadlineSeconds": 1}}, dry_run="All")
    except ApiException as error:
        assert refusal in str(error.body)  # noqa: PT017 - nothing else refuses it
        return False
    return True
