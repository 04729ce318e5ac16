"""Watches of the kinds of objects that triggers listen to: one for each kind and namespace that a trigger needs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from penstock.kube.client import METADATA_LIST, ApiClient
from penstock.kube.metadata import PartialObject
from penstock.kube.reflector import EventType, Reflector
from penstock_operator.triggers.kinds import AllowedKind, EventKinds

logger = logging.getLogger(__name__)


class _Watched(NamedTuple):
    kind: AllowedKind
    namespace: str
    """Empty for all."""


class ObjectWatches:
    """The watches. They are of metadata alone: an object that matters is then read.

    Args:
        client: the way to the API server.
        kinds: where the objects of each allowed kind are.
        namespaces: those to watch; a single empty one for all.
        on_object: called with every object that exists or changes.
        on_synced: called when all objects of a kind are known.
        fail: called with an error after which this process must not continue.
    """

    def __init__(
        self,
        client: ApiClient,
        kinds: EventKinds,
        *,
        namespaces: Sequence[str],
        on_object: Callable[[AllowedKind, PartialObject], None],
        on_synced: Callable[[AllowedKind], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._fail = fail
        self._client = client
        self._kinds = kinds
        self._namespaces = namespaces
        self._on_object = on_object
        self._on_synced = on_synced
        self._reflectors: dict[_Watched, Reflector[PartialObject]] = {}
        self._tasks: dict[_Watched, asyncio.Task[None]] = {}

    async def open_watch(self, kind: AllowedKind, namespace: str) -> Reflector[PartialObject]:
        """Watch a kind, if it is not watched yet.

        Args:
            kind: what to watch.
            namespace: where the trigger is, which needs no other namespace.

        Returns:
            The watch; it may not know all objects yet.

        Raises:
            ApiError: the kind could not be listed: it does not exist, or the operator is not allowed to.
            ApiUnreachableError: the API server did not answer.
        """
        watched = _Watched(kind, namespace if namespace in self._namespaces else "")
        found = self._reflectors.get(watched)
        if found is not None:
            return found
        resource = self._kinds[kind]
        # The watch itself would retry forever, and report a refusal in the log only.
        await self._client.request("GET", resource.path(watched.namespace), query={"limit": "1"}, accept=METADATA_LIST)
        if watched in self._reflectors:
            return self._reflectors[watched]

        def on_event(event: EventType, item: PartialObject) -> None:
            if event is not EventType.DELETED:
                self._on_object(kind, item)

        reflector = self._reflectors[watched] = Reflector(
            self._client,
            resource,
            kind=PartialObject,
            namespace=watched.namespace,
            metadata_only=True,
            keep_objects=True,
            on_event=on_event,
            on_synced=lambda: self._on_synced(kind),
        )
        self._tasks[watched] = task = asyncio.create_task(reflector.run(), name=f"watch {kind} {watched.namespace}")
        task.add_done_callback(self._on_watch_end)
        return reflector

    def _on_watch_end(self, task: asyncio.Task[None]) -> None:
        # It retries every expected error; one that ends it is a bug.
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)

    def keep_kinds(self, kinds: set[AllowedKind]) -> None:
        """End all watches but those of these kinds."""
        for watched in [each for each in self._reflectors if each.kind not in kinds]:
            del self._reflectors[watched]
            self._tasks.pop(watched).cancel()

    async def close(self) -> None:
        """End all watches."""
        tasks = list(self._tasks.values())
        self.keep_kinds(set())
        await asyncio.gather(*tasks, return_exceptions=True)
