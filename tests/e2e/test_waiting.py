"""Each way in which a task can be kept from starting, on a real node: task, run and Events say which, in its words.

All runs of the module wait at the same time.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from tests.e2e.kubectl import Kubectl
from tests.e2e.manifest import IMAGE, UNTIL_TOLD, flow, flow_run, run_of, task

pytestmark = pytest.mark.e2e

RUNTIME_CLASS = f"e2e-{uuid.uuid4().hex[:8]}"


class Way(NamedTuple):
    """What keeps a task from starting, and what is to be said of it."""

    run: str
    fields: str
    """Of the task, as YAML."""
    reason: str
    words: str
    """Of Kubernetes."""
    spec: Mapping[str, Any] = MappingProxyType({})


def volume(source: str) -> str:
    """Return a podTemplate with a volume that `main` mounts."""
    mounts = "containers: [{name: main, volumeMounts: [{name: v, mountPath: /v}]}]"
    return f"podTemplate: {{spec: {{volumes: [{{name: v, {source}}}], {mounts}}}}}"


WAYS = [
    Way("image", "image: 'localhost:1/none:1'", "ImagePullFailed", "localhost:1/none:1"),
    Way(
        "image-never",
        "image: 'localhost/never:1', podTemplate: {spec: {containers: [{name: main, imagePullPolicy: Never}]}}",
        "ImagePullFailed",
        "localhost/never:1",
    ),
    Way("secret-volume", volume("secret: {secretName: nope}"), "MountFailed", 'secret "nope" not found'),
    Way("configmap-volume", volume("configMap: {name: nope}"), "MountFailed", 'configmap "nope" not found'),
    Way(
        "key-volume",
        volume("configMap: {name: settings, items: [{key: nope, path: x}]}"),
        "MountFailed",
        "non-existent config key: nope",
    ),
    Way("csi-volume", volume("csi: {driver: nope.example.com}"), "MountFailed", "nope.example.com"),
    Way(
        "secret-env",
        "env: [{name: A, valueFrom: {secretKeyRef: {name: nope, key: a}}}]",
        "ContainerConfigError",
        'secret "nope" not found',
    ),
    Way(
        "key-env",
        "env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: nope}}}]",
        "ContainerConfigError",
        "couldn't find key nope",
    ),
    Way(
        "env-from",
        "podTemplate: {spec: {containers: [{name: main, envFrom: [{configMapRef: {name: nope}}]}]}}",
        "ContainerConfigError",
        'configmap "nope" not found',
    ),
    Way(
        "sandbox",
        f"podTemplate: {{spec: {{runtimeClassName: {RUNTIME_CLASS}}}}}",
        "SandboxFailed",
        "nope",
    ),
    Way("no-node", "podTemplate: {spec: {nodeSelector: {nowhere: 'true'}}}", "Unschedulable", "node(s) didn't match"),
    Way("too-big", "resources: {requests: {memory: 100000Gi}}", "Unschedulable", "Insufficient memory"),
    Way(
        "no-claim",
        volume("persistentVolumeClaim: {claimName: nope}"),
        "ClaimUnbound",
        'persistentvolumeclaim "nope" not found',
    ),
    Way("claim", volume("persistentVolumeClaim: {claimName: unbound}"), "ClaimUnbound", "unbound"),
    Way(
        "workspace",
        "command: ['true']",
        "WorkspaceUnbound",
        "unbound",
        {"workspace": {"size": "1Mi", "storageClassName": "nope"}},
    ),
    Way("gate", "podTemplate: {spec: {schedulingGates: [{name: example.com/queue}]}}", "AdmissionQueue", "gate"),
]


@pytest.fixture(scope="module")
def waiting(shared: Kubectl, admin: Kubectl) -> Iterator[Kubectl]:
    """kubectl where all runs have been started."""
    objects: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "unbound"},
            "spec": {
                "storageClassName": "nope",
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Mi"}},
            },
        },
    ]
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": RUNTIME_CLASS}}
    admin.apply(json.dumps({**runtime, "handler": "nope"}))
    try:
        for body in objects:
            shared.apply(json.dumps(body))
        runs = "".join(flow_run(way.run, f"[{{name: a, {way.fields}}}]", **way.spec) for way in WAYS)
        cached = flow("cached", f"[{{name: a, script: {UNTIL_TOLD}, cache: {{key: same}}}}]")
        shared.apply(runs + cached + run_of("cached", "cache-first"))
        shared.reach("cache-first", "a", "Running")
        shared.apply(run_of("cached", "cache"))
        yield shared
    finally:
        admin.run("delete", "runtimeclass", RUNTIME_CLASS, "--wait=false")


@pytest.mark.parametrize(
    "way", [*WAYS, Way("cache", "", "CacheBusy", "cache-first")], ids=lambda way: way.run.replace("-", " ")
)
def test_a_task_that_can_not_start_says_why_in_task_run_and_events(waiting: Kubectl, way: Way):
    waiting.wait(f"flowrun/{way.run}", f"jsonpath={{.status.reason}}={way.reason}", timeout_s=60)

    run = waiting.get("flowrun", way.run)
    entry = task(run, "a")
    assert (entry["reason"], entry["state"]) == (way.reason, entry["state"])
    assert entry["state"] in ("Pending", "Queued")
    assert way.words in entry["message"]
    assert run["status"]["message"].startswith("task a: ")
    assert way.words in run["status"]["message"]
    assert way.reason in waiting.run("get", "flowrun", way.run)
    events = waiting.run("get", "events", f"--field-selector=involvedObject.name={way.run},reason=TaskWaiting")
    assert f"task a: {way.reason}: " in events
    assert way.reason in waiting.penstock("get", "runs", way.run)
    described = waiting.penstock("describe", way.run)
    assert way.reason in described
    assert way.words in described


def test_a_secret_that_comes_late_starts_the_task_and_clears_the_reason(waiting: Kubectl):
    waiting.apply(flow_run("late", f"[{{name: a, image: {IMAGE!r}, {volume('secret: {secretName: late}')}}}]"))
    waiting.wait("flowrun/late", "jsonpath={.status.reason}=MountFailed", timeout_s=60)

    waiting.run("create", "secret", "generic", "late", "--from-literal=a=1")
    run = waiting.finish("late", timeout_s=300)

    assert run["status"]["state"] == "Completed"
    assert "reason" not in run["status"]
    assert "reason" not in task(run, "a")
