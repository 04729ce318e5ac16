"""A controller of a long-lived kind: objects come in from kopf, each is looked at by key, one status goes out."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from penstock.engine.keys import ObjectKey
from penstock.kube.client import MERGE_PATCH, METADATA
from penstock.kube.errors import ApiError, is_not_found
from penstock.kube.reflector import EventType
from penstock.kube.resources import Resource
from penstock.kube.writer import Writer
from penstock_operator.runtime.recorder import EventRecorder, Regarding
from penstock_operator.runtime.workers import run_workers
from penstock_operator.runtime.workqueue import WorkQueue

logger = logging.getLogger(__name__)

RETRY_S: Final = 10.0
WORKERS: Final = 8


class _Written(NamedTuple):
    """A status that was stored, and may not be seen yet."""

    uid: str
    version: int
    status: Mapping[str, Any]


class KeyedController(ABC):
    """Looks at the objects of one kind.

    What was stored in a status counts from the reply on: until kopf shows the object with it, `look_at` gets it all the
    same. Whoever decides by the status would otherwise decide the same twice.

    Args:
        resource: the kind.
        kind: its name in Events.
        writer: for writes.
        recorder: for Events.
        fail: told of an error after which this process must not go on.
        clock: seconds since the epoch.
    """

    workers = WORKERS
    """Objects looked at together."""
    ignores_own_writes = False
    """Whether an object in which nothing but its own status has changed needs no other look."""

    def __init__(
        self,
        resource: Resource,
        *,
        kind: str,
        writer: Writer,
        recorder: EventRecorder,
        fail: Callable[[BaseException], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.resource = resource
        self.kind = kind
        self.writer = writer
        self.clock = clock
        self.objects: dict[ObjectKey, Mapping[str, Any]] = {}
        self.queue: WorkQueue[ObjectKey] = WorkQueue()
        self._recorder = recorder
        self._fail = fail
        self._written: dict[ObjectKey, _Written] = {}

    def receive(self, event: EventType, body: Mapping[str, Any]) -> None:
        """Take over a change of an object."""
        metadata = body["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        if event is EventType.DELETED:
            self.objects.pop(key, None)
            self._written.pop(key, None)
            self.queue.forget(key)
            self.forget(key)
            return
        before, self.objects[key] = self.objects.get(key), body
        written = self._written.get(key)
        if written is not None and (written.uid != metadata["uid"] or written.version <= _version(metadata)):
            del self._written[key]
            if self.ignores_own_writes and before is not None and _is_own_write(written, before["metadata"], metadata):
                return
        self.queue.add(key)

    async def work(self) -> None:
        """Look at objects for ever."""
        await self.run_workers(self.queue, self._look_at, workers=self.workers)

    async def run_workers(
        self, queue: WorkQueue[ObjectKey], look_at: Callable[[ObjectKey], Awaitable[None]], *, workers: int
    ) -> None:
        """Do something with each object that comes, for ever; what fails is tried again."""
        await run_workers(queue, look_at, kind=self.kind, workers=workers, retry_s=RETRY_S, fail=self._fail)

    async def _look_at(self, key: ObjectKey) -> None:
        body = self.latest(key)
        if body is not None:
            await self.look_at(key, body)

    def latest(self, key: ObjectKey) -> Mapping[str, Any] | None:
        """Return an object with the status that was stored last; None if there is none of this name."""
        body, written = self.objects.get(key), self._written.get(key)
        return body if body is None or written is None else {**body, "status": written.status}

    @abstractmethod
    async def look_at(self, key: ObjectKey, body: Mapping[str, Any]) -> None:
        """Bring one object to where it should be."""

    @abstractmethod
    def forget(self, key: ObjectKey) -> None:
        """Learn that an object is gone."""

    async def store_status(self, key: ObjectKey, body: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Store fields of an object's status, if they say something new."""
        stored = body.get("status") or {}
        if all(stored.get(name) == value for name, value in status.items()):
            return
        patch = {"metadata": {"uid": body["metadata"]["uid"]}, "status": status}
        try:
            reply = await self.writer.patch(
                self.resource,
                key.namespace,
                key.name,
                msgspec.json.encode(patch),
                content_type=MERGE_PATCH,
                subresource="status",
                accept=METADATA,
            )
        except ApiError as error:
            if not is_not_found(error):
                raise
            return
        metadata = msgspec.json.decode(reply.body)["metadata"]
        seen = self.objects.get(key)
        if seen is not None and _version(metadata) > _version(seen["metadata"]):
            self._written[key] = _Written(metadata["uid"], _version(metadata), {**stored, **status})

    def record(self, body: Mapping[str, Any], *, is_warning: bool, reason: str, note: str) -> None:
        """Record an Event about an object."""
        metadata = body["metadata"]
        regarding = Regarding(self.kind, metadata["namespace"], metadata["name"], metadata["uid"])
        identity = str(metadata.get("generation", ""))
        self._recorder.record(regarding, is_warning=is_warning, reason=reason, note=note, identity=identity)


def _is_own_write(written: _Written, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether an object is as it was before but for the status that was stored."""
    return (
        written.version == _version(now)
        and before["uid"] == now["uid"]
        and before["generation"] == now["generation"]
        and not now.get("deletionTimestamp")
    )


def _version(metadata: Mapping[str, Any]) -> int:
    """Return an object's resourceVersion as a number, which grows with every write (KEP-5504).

    An API server that is not Kubernetes' own may have others: then nothing stands in for what it shows.
    """
    text = metadata["resourceVersion"]
    return int(text) if text.isdecimal() else 0
