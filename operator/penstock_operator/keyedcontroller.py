"""A controller of a long-lived kind: objects come in from kopf, each is looked at by key, one status goes out."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from penstock_operator.client import MERGE_PATCH, METADATA
from penstock_operator.errors import ApiError, ApiUnreachableError, NotLeaderError, is_not_found
from penstock_operator.metadata import ObjectKey
from penstock_operator.recorder import EventRecorder, Regarding
from penstock_operator.reflector import EventType
from penstock_operator.resource import Resource
from penstock_operator.workqueue import WorkQueue
from penstock_operator.writer import Writer

logger = logging.getLogger(__name__)

RETRY_S: Final = 10.0
WORKERS: Final = 8


class KeyedController(ABC):
    """Looks at the objects of one kind.

    Args:
        resource: the kind.
        kind: its name in Events.
        writer: for writes.
        recorder: for Events.
        fail: told of an error after which this process must not go on.
        clock: seconds since the epoch.
    """

    def __init__(  # noqa: PLR0913 - keyword-only, named at every call
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

    def receive(self, event: EventType, body: Mapping[str, Any]) -> None:
        """Take over a change of an object."""
        metadata = body["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        if event is EventType.DELETED:
            self.objects.pop(key, None)
            self.queue.forget(key)
            self.forget(key)
            return
        self.objects[key] = body
        self.queue.add(key)

    async def work(self) -> None:
        """Look at objects for ever."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(WORKERS):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                body = self.objects.get(key)
                if body is not None:
                    await self.look_at(key, body)
            except NotLeaderError as error:
                self._fail(error)
            except (ApiError, ApiUnreachableError) as error:
                logger.info("%s %s: looked at again in %g s: %s", self.kind, key, RETRY_S, error)
                self.queue.add_at(key, time.monotonic() + RETRY_S)
            except Exception:
                # One object that can't be looked at must not stop the others.
                logger.exception("%s %s could not be looked at; tried again in %g s", self.kind, key, RETRY_S)
                self.queue.add_at(key, time.monotonic() + RETRY_S)
            finally:
                self.queue.done(key)

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
            await self.writer.patch(
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

    def record(self, body: Mapping[str, Any], *, is_warning: bool, reason: str, note: str) -> None:
        """Record an Event about an object."""
        metadata = body["metadata"]
        regarding = Regarding(self.kind, metadata["namespace"], metadata["name"], metadata["uid"])
        identity = str(metadata.get("generation", ""))
        self._recorder.record(regarding, is_warning=is_warning, reason=reason, note=note, identity=identity)
