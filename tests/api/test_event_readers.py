"""Those that read the Events of Pods and Jobs that wait, in one process with the test."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import msgspec
import pytest

from penstock.engine.keys import RunKey
from penstock.kube.client import ApiClient
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.writer import Writer
from penstock_operator.metrics import Metrics
from penstock_operator.runs.attempts import job_warnings, pod_events
from penstock_operator.runs.attempts.job_warnings import JobWarnings
from penstock_operator.runs.attempts.pod_events import PodEvents
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.workloads.pod import Pod
from tests.api.faults import FaultProxy
from tests.api.waiting import Changes

pytestmark = pytest.mark.api

PODS = ("one", "two", "three")


class UnforeseenError(Exception):
    """What nobody thought of."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for reader in (pod_events, job_warnings):
        monkeypatch.setattr(reader, "FIRST_READ_S", 0.05)
    monkeypatch.setattr(pod_events, "PAUSE_S", 0.1)
    monkeypatch.setattr(pod_events, "READ_PAUSE_S", 0.05)


@pytest.fixture
def report(core, namespace):
    def report(kind: str, uid: str, reason: str, message: str) -> None:
        involved = {"apiVersion": "v1", "kind": kind, "namespace": namespace, "name": uid, "uid": uid}
        body: Any = {"metadata": {"name": f"{uid}.{uuid.uuid4().hex[:8]}"}, "involvedObject": involved}
        core.create_namespaced_event(namespace, {**body, "type": "Warning", "reason": reason, "message": message})

    return report


def silent_pod(namespace: str, uid: str) -> Pod:
    metadata = {"name": uid, "namespace": namespace, "uid": uid, "labels": {"penstock.dev/run-uid": "run"}}
    return msgspec.convert(
        {"metadata": metadata, "spec": {"nodeName": "node"}, "status": {"phase": "Pending"}}, type=Pod, strict=False
    )


def fail(error: BaseException) -> None:
    raise AssertionError("this process leads") from error


def test_one_list_serves_all_silent_pods_of_a_namespace_and_an_unforeseen_error_ends_no_reader(
    connection, namespace, report
):
    for uid in PODS:
        report("Pod", uid, "FailedMount", f"no volume for {uid}")
    reported: list[str] = []
    errors: list[Exception] = []
    changes = Changes(lambda: f"reported: {reported}, errors: {errors}")

    def record_pod(_: LiveRun, pod: Pod) -> None:
        reported.append(pod.metadata.name)
        changes.touch()
        if len(reported) == 1:
            raise UnforeseenError

    def handle_error(_: LiveRun, error: Exception) -> None:
        errors.append(error)
        raise UnforeseenError from error

    async def scenario() -> None:
        metrics = Metrics()
        async with FaultProxy(connection) as proxy, ApiClient(proxy.connection, metrics=Metrics()) as client:
            writer = Writer(client, may_write=lambda: True)
            registry = RunRegistry(writer, metrics=metrics, fail=fail, on_error=handle_error, clock=lambda: 0.0)
            registry.add_run(LiveRun(RunKey(namespace, "run"), "run", 1, "1", FlowRun()))
            events = PodEvents(client, registry, record_pod)
            for uid in PODS:
                events.note_pod(silent_pod(namespace, uid))
            await changes.until(lambda: set(reported) == set(PODS), "what keeps each Pod from starting")
            await events.close()
            assert proxy.count(lambda seen: seen.path.endswith("/events")) == 2
        assert metrics.internal_errors.labels("Event")._value.get() == 1

    asyncio.run(scenario())


def test_an_unforeseen_error_does_not_end_the_reader_of_the_events_of_jobs(connection, namespace, report):
    report("Job", "job", "FailedCreate", "exceeded quota")
    reported: list[str] = []
    errors: list[str] = []
    changes = Changes(lambda: f"reported: {reported}, errors: {errors}")

    def on_warning(warning: str) -> None:
        reported.append(warning)
        changes.touch()
        if len(reported) == 1:
            raise UnforeseenError

    async def scenario() -> None:
        async with ApiClient(connection, metrics=Metrics()) as client:
            warnings = JobWarnings(client, on_error=lambda name, _: errors.append(name))
            warnings.watch_job(namespace, "job", on_warning)
            await changes.until(lambda: len(reported) > 1, "the warning to be reported again")
            await warnings.close()

    asyncio.run(scenario())
    assert set(reported) == {"exceeded quota"}
    assert errors == [namespace]
