"""A namespace under observation: what a test makes in it, and every Pod and run that was ever seen there."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import msgspec
from kubernetes import client as kubernetes_client

from penstock.api import names
from penstock.engine.state import FINAL_RUN_STATES
from penstock.kube.backoff import Backoff
from penstock.kube.client import ApiClient
from penstock.kube.connection import Connection
from penstock.kube.metadata import ObjectMeta
from penstock.kube.reflector import EventType, Reflector
from penstock.kube.resources import BACKFILLS, FLOW_DEFAULTS, FLOWRUNS, FLOWS, JOBS, PODS, SCHEDULES, Resource
from penstock_operator.metrics import Metrics

DEADLINE_S = 60.0
FAKE = "fake.penstock.dev"
WATCHED = {
    "pods": PODS,
    "jobs": JOBS,
    "flowruns": FLOWRUNS,
    "flows": FLOWS,
    "schedules": SCHEDULES,
    "backfills": BACKFILLS,
    "flowdefaults": FLOW_DEFAULTS,
}

T = TypeVar("T")


class Seen(msgspec.Struct, frozen=True):
    """An object as it was last seen."""

    metadata: ObjectMeta = ObjectMeta()
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


class AttemptKey(NamedTuple):
    """Which attempt a Pod carries."""

    run: str
    task: str
    item: str
    attempt: str


def fake(**behaviour: str) -> dict[str, Any]:
    """Return a podTemplate that makes the Pod of a fake node behave so; tests/cluster/README.md has the words."""
    return {"metadata": {"annotations": {f"{FAKE}/{word.replace('_', '-')}": text for word, text in behaviour.items()}}}


def plural(kind: str) -> str:
    """Return the resource of one of our kinds; `kind` as in `FlowRun`."""
    return f"{kind.lower().removesuffix('s')}s"


def task(name: str = "main", **fields: Any) -> dict[str, Any]:
    """Return a task of a Flow. Fields of `fake` go by the prefix `pod_`."""
    behaviour = {key.removeprefix("pod_"): fields.pop(key) for key in list(fields) if key.startswith("pod_")}
    if behaviour:
        fields["podTemplate"] = fake(**behaviour)
    return {"name": name, "image": "busybox", **fields}


class Scene:
    """Watches a namespace from the moment it is entered.

    Args:
        api: the official client, for what a test does.
        connection: for the watches.
        namespace: which.
    """

    def __init__(self, api: kubernetes_client.ApiClient, connection: Connection, namespace: str) -> None:
        self.namespace = namespace
        self.core = kubernetes_client.CoreV1Api(api)
        self.custom = kubernetes_client.CustomObjectsApi(api)
        self.now: dict[str, dict[str, Seen]] = {kind: {} for kind in WATCHED}
        self.ever: dict[str, dict[str, Seen]] = {kind: {} for kind in WATCHED}
        """By uid, as it was when it was last seen."""
        self._connection = connection
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._observe()), name=f"scene-{namespace}")
        self._is_synced = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_synced.wait(DEADLINE_S), "the scene's watches did not open"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _observe(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with ApiClient(self._connection, metrics=Metrics()) as client:
            reflectors = [self._reflector(client, kind, resource) for kind, resource in WATCHED.items()]
            tasks = [asyncio.create_task(reflector.run()) for reflector in reflectors]
            for reflector in reflectors:
                await reflector.synced.wait()
            self._is_synced.set()
            await self._stop.wait()
            for running in tasks:
                running.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _reflector(self, client: ApiClient, kind: str, resource: Resource) -> Reflector[Seen]:
        def record(event: EventType, item: Seen) -> None:
            with self._changed:
                if event is EventType.DELETED:
                    self.now[kind].pop(item.metadata.name, None)
                else:
                    self.now[kind][item.metadata.name] = item
                self.ever[kind][item.metadata.uid] = item
                self._changed.notify_all()

        return Reflector(
            client,
            resource,
            kind=Seen,
            on_event=record,
            namespace=self.namespace,
            keep_objects=True,
            backoff=Backoff(base_s=0.05, cap_s=0.5),
        )

    # What is seen

    def until(self, condition: Callable[[], T], what: str, within_s: float = DEADLINE_S) -> T:
        """Wait until something is true of what is seen, and return it; fail with what was seen last."""
        ends_at = time.monotonic() + within_s
        with self._changed:
            while not (found := condition()):
                left_s = ends_at - time.monotonic()
                if left_s <= 0 or not self._changed.wait(left_s):
                    raise AssertionError(f"waited {within_s:g} s for {what}; {self.describe()}")
            return found

    def describe(self) -> str:
        runs = {name: run.status for name, run in self.now["flowruns"].items()}
        pods = {name: (pod.metadata.finalizers, pod.status.get("phase")) for name, pod in self.now["pods"].items()}
        return f"runs: {json.dumps(runs)[:3000]}; pods: {str(pods)[:2000]}"

    def run(self, name: str = "run") -> Seen:
        return self.now["flowruns"][name]

    def status(self, name: str = "run") -> Mapping[str, Any]:
        run = self.now["flowruns"].get(name)
        return {} if run is None else run.status

    def entry(self, task_name: str = "main", run: str = "run") -> Mapping[str, Any]:
        """Return what a run's status says of a task; empty while it says nothing."""
        return next((entry for entry in self.status(run).get("tasks", ()) if entry["name"] == task_name), {})

    def pods(self, *, ever: bool = False) -> list[Seen]:
        """Return the task Pods, oldest first."""
        found = (self.ever if ever else self.now)["pods"].values()
        return [pod for pod in list(found) if names.LABEL_RUN_UID in pod.metadata.labels]

    def pod(self, task_name: str = "main", attempt: int = 1) -> Seen:
        """Wait for the Pod of an attempt."""

        def find() -> Seen | None:
            labels = {names.LABEL_TASK: task_name, names.LABEL_ATTEMPT: str(attempt)}
            return next((pod for pod in self.pods() if labels.items() <= pod.metadata.labels.items()), None)

        found = self.until(find, f"the Pod of attempt {attempt} of {task_name}")
        assert found is not None
        return found

    def running_pod(self, task_name: str = "main", attempt: int = 1) -> Seen:
        """Wait for the Pod of an attempt to run."""
        name = self.pod(task_name, attempt).metadata.name
        self.until(lambda: self.now["pods"][name].status.get("phase") == "Running", f"the Pod {name} to run")
        return self.now["pods"][name]

    def ever_attempts(self, run: str = "run") -> list[AttemptKey]:
        """Return the attempt of every Pod that the run ever had, in order: twice the same is a duplicate."""
        labels = [pod.metadata.labels for pod in self.pods(ever=True) if pod.metadata.labels[names.LABEL_RUN] == run]
        return sorted(
            AttemptKey(
                run, found[names.LABEL_TASK], found.get(names.LABEL_INDEX, ""), found.get(names.LABEL_ATTEMPT, "")
            )
            for found in labels
        )

    # What is waited for

    def reach(self, state: str, name: str = "run", within_s: float = DEADLINE_S) -> Mapping[str, Any]:
        """Wait for a run to be in a state, and return its status."""
        self.until(lambda: self.status(name).get("state") == state, f"run {name} to be {state}", within_s)
        return self.status(name)

    def reach_task(self, state: str, task_name: str = "main", run: str = "run") -> Mapping[str, Any]:
        """Wait for a task to be in a state, and return its entry."""
        self.until(lambda: self.entry(task_name, run).get("state") == state, f"task {task_name} to be {state}")
        return self.entry(task_name, run)

    def finish(self, name: str = "run", within_s: float = DEADLINE_S) -> Mapping[str, Any]:
        """Wait for a run to finish and for the finalizers of its Pods to be removed; return its status."""
        self.until(lambda: self.status(name).get("state") in FINAL_RUN_STATES, f"run {name} to finish", within_s)
        self.until(lambda: not self.held_pods(), "the finalizers of all Pods to be removed", within_s)
        attempts = self.ever_attempts(name)
        assert len(set(attempts)) == len(attempts), f"an attempt had more than one Pod: {attempts}"
        return self.status(name)

    def held_pods(self) -> list[str]:
        """Return the names of the task Pods that carry our finalizer."""
        return [pod.metadata.name for pod in self.pods() if names.FINALIZER in pod.metadata.finalizers]

    def event(self, reason: str, regarding: str) -> Any:
        """Wait for an Event, and return it."""
        from kubernetes import watch  # noqa: PLC0415 - few tests need it

        stream = watch.Watch()
        listing = self.core.list_namespaced_event
        seen = []
        for event in stream.stream(listing, self.namespace, timeout_seconds=int(DEADLINE_S)):
            found = event["object"]
            seen.append((found.involved_object.name, found.reason))
            if seen[-1] == (regarding, reason):
                stream.stop()
                return found
        raise AssertionError(f"no Event {reason} about {regarding}; seen: {seen}")

    # What a test does

    def create(self, kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
        """Create one of our objects; `kind` as in `FlowRun`."""
        body = {
            "apiVersion": names.API_VERSION,
            "kind": kind,
            "metadata": {"name": name, **metadata},
            "spec": spec,
        }
        created: Any = self.custom.create_namespaced_custom_object(
            names.GROUP, names.VERSION, self.namespace, plural(kind), body
        )
        return dict(created)

    def act_as(self, client: kubernetes_client.ApiClient) -> None:
        """Do all that follows as somebody else than the administrator."""
        self.core = kubernetes_client.CoreV1Api(client)
        self.custom = kubernetes_client.CustomObjectsApi(client)

    def start(self, *tasks: Mapping[str, Any], name: str = "run", **flow: Any) -> dict[str, Any]:
        """Create a run of these tasks, inline; `timeout` is that of the run."""
        spec = {"timeout": flow.pop("timeout")} if "timeout" in flow else {}
        return self.create("FlowRun", name, {"flowSpec": {"tasks": list(tasks), **flow}, **spec})

    def start_of(self, flow: str, name: str = "run", **spec: Any) -> dict[str, Any]:
        """Create a run of a Flow."""
        return self.create("FlowRun", name, {"flow": {"name": flow}, **spec})

    def patch(self, kind: str, name: str, body: Any, *, is_status: bool = False) -> None:
        """Patch one of our objects: a dict is a merge patch, a list a JSON Patch."""
        call = self.custom.patch_namespaced_custom_object
        if is_status:
            call = self.custom.patch_namespaced_custom_object_status
        content = "application/json-patch+json" if isinstance(body, list) else "application/merge-patch+json"
        call(names.GROUP, names.VERSION, self.namespace, plural(kind), name, body, _content_type=content)

    def delete(self, kind: str, name: str) -> None:
        """Delete one of our objects."""
        self.custom.delete_namespaced_custom_object(names.GROUP, names.VERSION, self.namespace, plural(kind), name)

    def delete_pod(self, pod: Seen, **options: Any) -> None:
        self.core.delete_namespaced_pod(pod.metadata.name, self.namespace, **options)
