"""Applies manifests in batches while an operator runs, and collects what must not be."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Any, Self

from kubernetes import client as kubernetes_client
from kubernetes import watch

from penstock.kube.connection import Connection
from tests.api.replica import Replica, free_port
from tests.api.review_scene import LOOPBACK, configured, write_certificate
from tests.api.scene import Scene, task
from tests.fuzz.arena import LABEL, Answer, Arena
from tests.fuzz.ends import End, is_refusal_with_field
from tests.fuzz.manifests import DEFAULTS, PLURALS, Manifest
from tests.fuzz.report import Report, Trace, traces_in

WEBHOOK, AROUND, INHERITING = "webhook", "around", "inheriting"
"""Values of the label of namespaces: whether the webhook is asked; it is not where Flows inherit FlowDefaults."""
INHERITING_EACH = 8
END_S = 40.0
"""In which every manifest of a batch comes to an end, from when the last was sent."""
REPLAY_S = 8.0
"""For the manifests of a replay, to show again what they are suspected of."""
BYSTANDER_S = 20.0
"""In which a run of two short tasks in another namespace ends, while manifests are applied."""
GONE_S = 180.0
"""In which all namespaces are gone: nothing holds a Pod back."""


class Campaign:
    """An operator under fire; use as a context manager.

    Args:
        api: the official client, as administrator.
        connection: likewise.
        kubeconfig: the administrator's, beside which is the operator's.
        folder: for logs and certificates.
        report: where to put what is found.
    """

    def __init__(
        self,
        api: kubernetes_client.ApiClient,
        connection: Connection,
        kubeconfig: Path,
        folder: Path,
        report: Report,
    ) -> None:
        self._api = api
        self._connection = connection
        self._kubeconfig = kubeconfig
        self._folder = folder
        self._report = report
        self._core = kubernetes_client.CoreV1Api(api)
        self._id = f"fuzz-{uuid.uuid4().hex[:8]}"
        self._webhook_port = free_port()
        self._arenas = 0
        self._read_characters = 0
        self._bystanders = 0

    def __enter__(self) -> Self:
        authority = write_certificate(self._folder)
        body: Any = {"metadata": {"name": f"{self._id}-bystander"}}
        self._core.create_namespace(body)
        self._bystander = Scene(self._api, self._connection, f"{self._id}-bystander")
        self._bystander.__enter__()
        self._replica = self._start_operator()
        url = f"https://{LOOPBACK}:{self._webhook_port}/validate"
        selector = {"matchLabels": {LABEL: f"{self._id}-{WEBHOOK}"}}
        self._webhooks = configured(
            self._api, self._id, url=url, authority=authority, namespaceSelector=selector, timeoutSeconds=10
        )
        self._webhooks.__enter__()
        self._bystander_uid = self._until_it_works()
        return self

    def __exit__(self, *_: object) -> None:
        self._webhooks.__exit__(None, None, None)
        self._core.delete_namespace(self._bystander.namespace)
        self._bystander.__exit__(None, None, None)
        self._replica.__exit__(None, None, None)

    def _start_operator(self) -> Replica:
        options = (
            "--webhook-port", str(self._webhook_port),
            "--webhook-cert-dir", str(self._folder),
            "--event-kinds", "v1/ConfigMap=configmaps",
        )  # fmt: skip
        replica = Replica(
            self._kubeconfig, self._folder, namespace="", lease=self._id, identity="fuzz", options=options
        )
        return replica.__enter__()

    # Batches

    def run(self, manifests: Iterator[Manifest], batch: int, *, may_narrow: bool = True) -> None:
        """Apply all manifests, so many at a time; half of them around the webhook.

        Args:
            manifests: what to apply.
            batch: how many are there at once.
            may_narrow: look for the manifest that ended the operator or made it log a traceback, which takes time.
        """
        while some := list(islice(manifests, batch)):
            self._run_batch(some, may_narrow=may_narrow)
            print(f"{some[-1].number + 1} manifests, {len(self._report.findings)} findings", flush=True)
        self._until_gone()

    def _run_batch(self, manifests: Sequence[Manifest], *, may_narrow: bool) -> None:
        with self._arenas_for(manifests) as arenas:
            half = len(manifests) // 2
            self._send(arenas, manifests[:half])
            bystander, began_at = self._start_bystander()["metadata"]["name"], time.monotonic()
            self._send(arenas, manifests[half:])
            self._check_bystander(bystander, began_at)
            self._until_ended(arenas, manifests, END_S)
            if not self._replica.has_ended:
                self._judge(arenas, manifests)
        traces = self._new_traces()
        for trace in traces:
            self._report.traces[trace.error, trace.place] += 1
        has_ended = self._restart_if_ended()
        for error, place in dict.fromkeys((trace.error, trace.place) for trace in traces):
            shows = self._narrow(manifests, partial(self._has_trace, place)) if may_narrow else manifests
            self._report.add(f"traceback: {error[:300]} at {place}", shows)
        if has_ended:
            shows = self._narrow(manifests, self._restart_if_ended) if may_narrow else manifests
            self._report.add("the operator ended by itself", shows)

    def _send(self, arenas: dict[str, Arena], manifests: Sequence[Manifest]) -> None:
        for through, arena in arenas.items():
            arena.send([manifest for manifest in manifests if _way(manifest) == through])

    @contextmanager
    def _arenas_for(self, manifests: Sequence[Manifest]) -> Iterator[dict[str, Arena]]:
        self._arenas += 1
        ways = sorted({_way(manifest) for manifest in manifests})
        arenas = {
            through: Arena(
                self._api,
                self._connection,
                f"{self._id}-{self._arenas}-{through}",
                through=f"{self._id}-{through}",
                is_strict=through == WEBHOOK,
            )
            for through in ways
        }
        with ExitStack() as stack:
            for arena in arenas.values():
                stack.enter_context(arena)
            for arena in arenas.values():
                arena.furnish(self._bystander_uid)
            yield arenas

    def _until_ended(self, arenas: dict[str, Arena], manifests: Sequence[Manifest], within_s: float) -> None:
        """Wait until every accepted manifest has come to an end, or the operator has."""
        ends_at = time.monotonic() + within_s
        for through, arena in arenas.items():
            left = [
                manifest
                for manifest in manifests
                if _way(manifest) == through and not arena.answers[manifest.number].is_refused
            ]

            def is_done(arena: Arena = arena, left: list[Manifest] = left) -> bool:
                left[:] = [manifest for manifest in left if not arena.has_ended(manifest)]
                return self._replica.has_ended or not left

            with suppress(AssertionError):
                arena.scene.until(is_done, "all manifests to end", max(ends_at - time.monotonic(), 0.1))

    def _judge(self, arenas: dict[str, Arena], manifests: Sequence[Manifest]) -> None:
        for manifest in manifests:
            arena = arenas[_way(manifest)]
            answer = arena.answers[manifest.number]
            self._report.answers[manifest.kind, _answer_text(answer)] += 1
            if answer.is_refused:
                if not is_refusal_with_field(answer.code, answer.body):
                    self._report.add(f"refused without a field path: {answer.code} {answer.message}", [manifest])
                continue
            arena.has_ended(manifest)
            end = arena.ends.get(manifest.number)
            if end is None:
                seen = arena.scene.now[PLURALS[manifest.kind]].get(manifest.name)
                status = None if seen is None else str(seen.status)[:600]
                self._report.add(f"no end after {END_S:g} s, through {_way(manifest)}: status {status}", [manifest])
            else:
                self._judge_end(manifest, end)

    def _judge_end(self, manifest: Manifest, end: End) -> None:
        self._report.ends[manifest.kind, str(end)] += 1
        if not end.is_documented:
            self._report.add(f"an end that is not documented, through {_way(manifest)}: {end}", [manifest])

    # The bystander

    def _start_bystander(self) -> dict[str, Any]:
        self._bystanders += 1
        tasks = [task("a", pod_run_for="100ms"), task("b", dependsOn=["a"], pod_run_for="100ms")]
        return self._bystander.start(*tasks, name=f"bystander-{self._bystanders}")

    def _until_it_works(self) -> str:
        """Wait until a run has finished, and return its uid."""
        metadata = self._start_bystander()["metadata"]
        self._bystander.finish(metadata["name"])
        return str(metadata["uid"])

    def _check_bystander(self, name: str, began_at: float) -> None:
        def is_finished() -> bool:
            return self._replica.has_ended or self._bystander.status(name).get("state") == "Completed"

        try:
            self._bystander.until(is_finished, f"run {name} to be Completed", BYSTANDER_S)
        except AssertionError as error:
            self._report.add(f"a bystander's run was late: {str(error)[:600]}", [])
        else:
            self._report.bystanders.append(time.monotonic() - began_at)

    # The operator

    def _new_traces(self) -> list[Trace]:
        log = self._replica.log
        new, self._read_characters = log[self._read_characters :], len(log)
        return list(traces_in(new))

    def _has_trace(self, place: str) -> bool:
        found = any(trace.place == place for trace in self._new_traces())
        self._restart_if_ended()
        return found

    def _restart_if_ended(self) -> bool:
        if not self._replica.has_ended:
            return False
        self._replica.wait()
        self._replica.__exit__(None, None, None)
        # What ended it would end the next one too.
        self._until_gone()
        self._replica = self._start_operator()
        self._until_it_works()
        return True

    def _narrow(self, manifests: Sequence[Manifest], is_shown: Callable[[], bool]) -> Sequence[Manifest]:
        """Return as few of the manifests as still show something, by applying one half and then the other."""
        while len(manifests) > 1:
            half = len(manifests) // 2
            for some in (manifests[:half], manifests[half:]):
                if self._replay(some, is_shown):
                    manifests = some
                    break
            else:
                break
        return manifests

    def _replay(self, manifests: Sequence[Manifest], is_shown: Callable[[], bool]) -> bool:
        self._new_traces()
        with self._arenas_for(manifests) as arenas:
            self._send(arenas, manifests)
            self._until_ended(arenas, manifests, REPLAY_S)
        return is_shown()

    # Namespaces

    def _until_gone(self) -> None:
        """Wait until all namespaces of batches are gone; what is left of one is a finding."""
        selector = f"{LABEL} in ({', '.join(f'{self._id}-{way}' for way in (WEBHOOK, AROUND, INHERITING))})"
        listed: Any = self._core.list_namespace(label_selector=selector)
        left: set[str] = {namespace.metadata.name for namespace in listed.items}
        stream = watch.Watch()
        if left:
            version = listed.metadata.resource_version
            for event in stream.stream(
                self._core.list_namespace,
                label_selector=selector,
                resource_version=version,
                timeout_seconds=int(GONE_S),
            ):
                if event["type"] == "DELETED":
                    left.discard(event["object"].metadata.name)
                if not left:
                    stream.stop()
        for name in sorted(left):
            pods: Any = self._core.list_namespaced_pod(name)
            held = {pod.metadata.name: pod.metadata.finalizers for pod in pods.items}
            self._report.add(f"namespace {name} is not gone after {GONE_S:g} s: Pods {str(held)[:400]}", [])


def _way(manifest: Manifest) -> str:
    """Return where a manifest is tried: FlowDefaults that count are apart, with an eighth of everything else."""
    is_inherited = manifest.kind == "FlowDefaults" and manifest.name == DEFAULTS
    if is_inherited or manifest.number % INHERITING_EACH == INHERITING_EACH - 1:
        return INHERITING
    return AROUND if manifest.number % 2 else WEBHOOK


def _answer_text(answer: Answer) -> str:
    if not answer.is_refused:
        return "accepted"
    by = "the webhook" if "admission webhook" in answer.message else "the API server"
    if answer.code == HTTPStatus.UNPROCESSABLE_ENTITY:
        return f"refused: {answer.code}, by schema or webhook"
    return f"refused: {answer.code}, by {by}"
