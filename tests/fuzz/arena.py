"""A namespace in which manifests are tried: what stands there before, what is sent, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from http import HTTPStatus
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
import msgspec
from kubernetes import client as kubernetes_client

from penstock.api import names
from penstock.engine.state import FINAL_RUN_STATES
from penstock.kube.connection import Connection
from tests.api.scene import Scene, Seen, task
from tests.fuzz import labelled
from tests.fuzz.ends import End, end_of
from tests.fuzz.manifests import DEFAULTS, OURS, PLURALS, Manifest
from tests.fuzz.mutations import written_out

IN_FLIGHT = 16
MOST_PODS = "300"
"""So that a fan-out of thousands waits for its quota instead of filling the machine."""
LABEL = "penstock-fuzz"
POD_ENDS = {"Succeeded", "Failed"}
DELETED = End("deleted", "")
REFUSED_FROM = 300


class Answer(NamedTuple):
    """What the API server said to a manifest."""

    code: int
    body: dict[str, Any]

    @property
    def is_refused(self) -> bool:
        return self.code >= REFUSED_FROM

    @property
    def is_conflict_of_quota(self) -> bool:
        """Whether it says to try again, because somebody else counted at the same time."""
        return self.code == HTTPStatus.CONFLICT and "resourcequotas" in self.message

    @property
    def is_taken(self) -> bool:
        """Whether another object has the name."""
        return self.body.get("reason") == "AlreadyExists"

    @property
    def uid(self) -> str:
        return str((self.body.get("metadata") or {}).get("uid", ""))

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))[:600]


class Arena:
    """Exists, and is observed, from the start of the block; at its end the namespace is told to go.

    Args:
        api: the official client.
        connection: as administrator.
        namespace: its name.
        through: value of the label by which the webhook is asked, or is not.
        is_strict: whether unknown fields are refused, as by kubectl, or dropped.
    """

    def __init__(
        self, api: kubernetes_client.ApiClient, connection: Connection, namespace: str, *, through: str, is_strict: bool
    ) -> None:
        self.namespace = namespace
        self.answers: dict[int, Answer] = {}
        """By the manifest's number."""
        self.ends: dict[int, End] = {}
        """The last end that was seen, likewise: what waits may continue later."""
        self._connection = connection
        self._core = kubernetes_client.CoreV1Api(api)
        self._through = through
        self._is_strict = is_strict
        self._uids: dict[str, str] = {}
        self.scene = Scene(api, connection, namespace)

    def __enter__(self) -> Self:
        body: Any = {"metadata": {"name": self.namespace, "labels": {LABEL: self._through}}}
        self._core.create_namespace(body)
        quota: Any = {"metadata": {"name": "most"}, "spec": {"hard": {"pods": MOST_PODS}}}
        self._core.create_namespaced_resource_quota(self.namespace, quota)
        with ExitStack() as stack:
            stack.callback(self._core.delete_namespace, self.namespace)
            stack.enter_context(self.scene)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def furnish(self, bystander_uid: str) -> None:
        """Create what manifests refer to: Flows, a Schedule, a run that waits and one that has finished."""
        scene = self.scene
        scene.create("Flow", "finished", {"params": [{"name": "day", "default": "x"}], "tasks": [task()]})
        waits = [{"name": "sign-off", "approval": {}}, task("work", dependsOn=["sign-off"])]
        scene.create("Flow", "anchor", {"tasks": waits})
        template = {"spec": {"flow": {"name": "finished"}}}
        scene.create("Schedule", "anchor", {"cron": ["@daily"], "suspend": True, "runTemplate": template})
        uids = {name: scene.start_of(name, name)["metadata"]["uid"] for name in ("anchor", "finished")}
        self._uids = {
            labelled.ANCHOR_UID: uids["anchor"],
            labelled.FINISHED_UID: uids["finished"],
            labelled.BYSTANDER_UID: bystander_uid,
        }
        scene.reach("Completed", "finished")
        scene.reach("Paused", "anchor")

    def send(self, manifests: Sequence[Manifest]) -> None:
        """Create all of them, many at once."""
        asyncio.run(self._send(manifests))

    async def _send(self, manifests: Sequence[Manifest]) -> None:
        waiting = iter(manifests)
        validation = {"fieldValidation": "Strict" if self._is_strict else "Ignore"}
        connector = aiohttp.TCPConnector(ssl=self._connection.ssl_context or True)
        headers = {**self._connection.headers, "Content-Type": "application/json"}
        async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

            async def work() -> None:
                for manifest in waiting:
                    url = self._connection.server + manifest.path.replace("NAMESPACE", self.namespace)
                    data = self._final(manifest).encode("utf-8", "surrogatepass")
                    answer = self.answers[manifest.number] = await _post(session, url, data, validation)
                    while answer.is_conflict_of_quota or (answer.is_taken and manifest.name == DEFAULTS):
                        if answer.is_taken:
                            await _delete(session, f"{url}/{DEFAULTS}")
                        answer = self.answers[manifest.number] = await _post(session, url, data, validation)

            await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))

    def _final(self, manifest: Manifest) -> str:
        text = written_out(manifest.text)
        for mark, uid in self._uids.items():
            text = text.replace(mark, uid)
        return text

    def has_ended(self, manifest: Manifest) -> bool:
        """Whether an accepted manifest has come to an end, which is then in `ends`."""
        end = self._end(manifest)
        if end is not None:
            self.ends[manifest.number] = end
        return end is not None

    def _end(self, manifest: Manifest) -> End | None:
        if manifest.kind not in OURS:
            return End("exists")
        answer = self.answers[manifest.number]
        seen = self.scene.ever[PLURALS[manifest.kind]].get(answer.uid)
        if seen is None:
            return None
        now = self.scene.now[PLURALS[manifest.kind]].get(manifest.name)
        if manifest.name == DEFAULTS and now is not None and now.metadata.uid != answer.uid:
            return DELETED
        if now is None:
            return DELETED if _may_be_deleted(answer) else End("deleted, though it has no owner")
        metadata = {"generation": answer.body["metadata"].get("generation", 1)}
        return end_of(manifest.kind, metadata, seen.status, has_work=self._has_work(seen))

    def _has_work(self, seen: Seen) -> bool:
        # Looked for by uid or by a label that only runs of ours have: manifests claim anything.
        scene, metadata = self.scene, seen.metadata
        runs = [
            run
            for run in list(scene.now["flowruns"].values())
            if metadata.name
            in (run.metadata.labels.get(names.LABEL_PARENT), run.metadata.labels.get(names.LABEL_BACKFILL))
        ]
        if any(run.status.get("state") not in FINAL_RUN_STATES for run in runs):
            return True
        pods = [pod for pod in scene.pods() if pod.metadata.labels[names.LABEL_RUN_UID] == metadata.uid]
        return any(pod.status.get("phase") not in POD_ENDS for pod in pods)


async def _post(session: aiohttp.ClientSession, url: str, data: bytes, params: dict[str, str]) -> Answer:
    async with session.post(url, data=data, params=params) as reply:
        return Answer(reply.status, _decode(await reply.read()))


async def _delete(session: aiohttp.ClientSession, url: str) -> None:
    async with session.delete(url) as reply:
        await reply.read()


def _decode(body: bytes) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        # What is nested too deeply for this decoder was accepted all the same.
        return {"message": body[:500].decode(errors="replace")}
    return decoded if isinstance(decoded, dict) else {}


def _may_be_deleted(answer: Answer) -> bool:
    metadata = answer.body.get("metadata") or {}
    owned_by = {names.LABEL_SCHEDULE, names.LABEL_BACKFILL, names.LABEL_PARENT}
    return bool(metadata.get("ownerReferences") or owned_by & set(metadata.get("labels") or {}))
