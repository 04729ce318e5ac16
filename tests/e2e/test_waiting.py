"""Each way in which a task can be kept from starting, on a real node: task, run, commands and Events say which, in its
words, soon after it did.

All runs of the module wait at the same time.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from tests.e2e.kubectl import Kubectl
from tests.e2e.manifest import IMAGE, RESTRICTED, UNTIL_RELEASED, flow, flow_run, run_of, task

pytestmark = pytest.mark.e2e

CLASS = f"e2e-{uuid.uuid4().hex[:8]}"


class Way(NamedTuple):
    """What keeps a task from starting, and what is to be said of it."""

    run: str
    fields: str
    """Of the task, as YAML."""
    reason: str
    words: str
    """Of Kubernetes."""
    event_words: str = ""
    """Of Kubernetes' Event, if others."""
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
        f"podTemplate: {{spec: {{runtimeClassName: {CLASS}}}}}",
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
        spec={"workspace": {"size": "1Mi", "storageClassName": "nope"}},
    ),
    Way(
        "sidecar",
        f"podTemplate: {{spec: {{initContainers: [{{name: proxy, image: {IMAGE!r}, restartPolicy: Always, "
        "command: [sh, -c, exit 7], startupProbe: {exec: {command: ['true']}}, "
        f"securityContext: {RESTRICTED}}}]}}}}",
        "SidecarFailed",
        "sidecar proxy: exit code 7",
        "restarting failed container",
    ),
    Way("quota", f"podTemplate: {{spec: {{priorityClassName: {CLASS}}}}}", "QuotaExceeded", "exceeded quota"),
    Way("gate", "podTemplate: {spec: {schedulingGates: [{name: example.com/queue}]}}", "AdmissionQueue", "gate"),
]


CACHE = Way("cache", "", "CacheBusy", "cache-first")
"""A run of a Flow with a cache, while another run fills that."""
ALL = [*WAYS, CACHE]
EACH = pytest.mark.parametrize("way", ALL, ids=lambda way: way.run.replace("-", " "))
WITHIN_S = 15
"""From the time at which Kubernetes says why a task cannot start, until its run and an Event of the run say so."""
ROUNDING_S = 1
"""Kubernetes stores whole seconds."""
STORED_AT = '{.metadata.managedFields[?(@.subresource=="status")].time}'
"""When the API server last stored a status, for `kubectl -o jsonpath`."""


class Waiting(NamedTuple):
    """What the cluster and the commands say while all runs wait. All times are the API server's."""

    kubectl: Kubectl
    shown_at: Mapping[str, dt.datetime]
    """When a run had its reason."""
    reported_at: Mapping[str, dt.datetime]
    """When a run had an Event with that reason."""
    events: list[dict[str, Any]]
    listed: str
    """By `kubectl get flowruns`."""
    listed_by_penstock: str
    listed_events: str
    """By `kubectl get events`."""

    def said_at(self, way: Way, pod: str | None) -> dt.datetime:
        """Return when Kubernetes said why a task cannot start: when it stored the first Event with these words.

        Gates are in the Pod from its creation on, and no Event says so. The cache is our own, and has no Pod.
        """
        if pod is None or way.reason == "AdmissionQueue":
            kind, name = ("flowrun", way.run) if pod is None else ("pod", pod)
            return dt.datetime.fromisoformat(self.kubectl.get(kind, name)["metadata"]["creationTimestamp"])
        return min(
            dt.datetime.fromisoformat(event["metadata"]["creationTimestamp"])
            for event in self.events
            if event["involvedObject"]["name"] == pod
            and event["type"] == "Warning"
            and (way.event_words or way.words) in event["message"]
        )


def lines_of(name: str, time: str, text: str) -> tuple[str, ...]:
    """Return options of `kubectl get` for a line at each change of an object; the arguments are parts of a jsonpath."""
    separator = '{"|"}'  # kubectl makes spaces of tabs
    return "--watch", "--request-timeout=90s", "-o", f'jsonpath={separator.join((name, time, text))}{{"\\n"}}'


def first_times(lines: Iterable[str], wanted: Mapping[str, str]) -> dict[str, dt.datetime]:
    """Return the time in the first line of each name whose text begins as wanted."""
    found: dict[str, dt.datetime] = {}
    for line in lines:
        name, time, text = (*line.rstrip("\n").split("|", 2), "", "")[:3]
        if name in wanted and text.startswith(wanted[name]):
            found.setdefault(name, dt.datetime.fromisoformat(time))
        if found.keys() == wanted.keys():
            break
    return found


@pytest.fixture(scope="module")
def waiting(shared: Kubectl, admin: Kubectl) -> Iterator[Waiting]:
    """What is shown of all runs, once each has its reason."""
    scope = {"scopeName": "PriorityClass", "operator": "In", "values": [CLASS]}
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
    classes: list[dict[str, Any]] = [
        {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": CLASS}, "handler": "nope"},
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": CLASS}, "value": 1},
    ]
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": shared.namespace},
        "spec": {"hard": {"pods": "0"}, "scopeSelector": {"matchExpressions": [scope]}},
    }
    of_run = lines_of("{.metadata.name}", STORED_AT, "{.status.reason}")
    of_event = lines_of("{.involvedObject.name}", "{.metadata.creationTimestamp}", "{.message}")
    about = "--field-selector=reason=TaskWaiting"
    for body in (*classes, quota):
        admin.apply(json.dumps(body))
    try:
        for body in objects:
            shared.apply(json.dumps(body))
        shared.wait("resourcequota/none", "jsonpath={.status.hard.pods}=0")
        with shared.background("get", "flowruns", *of_run) as runs:
            cached = flow("cached", f"[{{name: a, script: {UNTIL_RELEASED}, cache: {{key: same}}}}]")
            started = "".join(flow_run(way.run, f"[{{name: a, {way.fields}}}]", **way.spec) for way in WAYS)
            shared.apply(started + cached + run_of("cached", "cache-first"))
            shared.reach("cache-first", "a", "Running")
            shared.apply(run_of("cached", CACHE.run))
            shown_at = first_times(runs, {way.run: way.reason for way in ALL})
        with shared.background("get", "events", about, *of_event) as events:
            reported_at = first_times(events, {way.run: f"task a: {way.reason}: " for way in ALL})
        yield Waiting(
            shared,
            shown_at,
            reported_at,
            shared.get_all("events"),
            listed=shared.run("get", "flowruns"),
            listed_by_penstock=shared.penstock("get", "runs"),
            listed_events=shared.run("get", "events", about),
        )
    finally:
        admin.run("delete", f"runtimeclass/{CLASS}", f"priorityclass/{CLASS}", "--wait=false")


def line_of(name: str, listed: str) -> str:
    """Return the line of a table about an object."""
    (line,) = re.findall(rf"^{name} .*$", listed, re.MULTILINE)
    return str(line)


@EACH
def test_a_task_that_can_not_start_says_why_in_status_get_describe_watch_and_events(waiting: Waiting, way: Way):
    run = waiting.kubectl.get("flowrun", way.run)
    entry = task(run, "a")
    assert (run["status"].get("reason"), entry.get("reason")) == (way.reason, way.reason)
    assert entry["state"] in ("Pending", "Queued")
    assert way.words in entry["message"]
    assert run["status"]["message"].startswith("task a: ")
    assert way.words in run["status"]["message"]
    assert way.reason in line_of(way.run, waiting.listed)
    assert way.reason in line_of(way.run, waiting.listed_by_penstock)
    (event,) = [line for line in waiting.listed_events.splitlines() if f" flowrun/{way.run} " in line]
    assert f"task a: {way.reason}: " in event
    assert way.words in event
    described = waiting.kubectl.penstock("describe", way.run)
    assert way.reason in described
    assert way.words in described
    with waiting.kubectl.background_penstock("watch", way.run) as printed:
        assert any(way.reason in line and way.words in line for line in printed)


@EACH
def test_why_a_task_can_not_start_is_shown_within_15_seconds_of_kubernetes_saying_so(waiting: Waiting, way: Way):
    pod = task(waiting.kubectl.get("flowrun", way.run), "a").get("pod")
    said_at = waiting.said_at(way, pod)

    took = {"status": waiting.shown_at[way.run] - said_at, "Event": waiting.reported_at[way.run] - said_at}

    assert max(took.values()) <= dt.timedelta(seconds=WITHIN_S + ROUNDING_S), took


def test_a_secret_that_comes_late_starts_the_task_and_clears_the_reason(waiting: Waiting):
    kubectl = waiting.kubectl
    kubectl.apply(flow_run("late", f"[{{name: a, image: {IMAGE!r}, {volume('secret: {secretName: late}')}}}]"))
    kubectl.wait("flowrun/late", "jsonpath={.status.reason}=MountFailed", timeout_s=60)

    kubectl.run("create", "secret", "generic", "late", "--from-literal=a=1")
    run = kubectl.finish("late", timeout_s=300)

    assert run["status"]["state"] == "Completed"
    assert "reason" not in run["status"]
    assert "reason" not in task(run, "a")
