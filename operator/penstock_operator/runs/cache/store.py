"""The ConfigMaps of the cache as reads and writes, each of which reports when another writer was first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from penstock.engine.cache import has_outputs, is_run_finished, is_task_instance_finished
from penstock.engine.keys import ObjectKey
from penstock.kube.backoff import Backoff
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.errors import (
    ApiError,
    is_already_exists,
    is_conflict,
    is_not_found,
    is_precondition_failed,
    is_transient,
)
from penstock.kube.kinds.flow_run import FlowRun
from penstock.kube.metadata import ObjectMeta, PartialObject
from penstock.kube.repeated_read import read_until_answered
from penstock.kube.resources import CONFIGMAPS, FLOWRUNS, Resource
from penstock.kube.writer import Priority, Writer
from penstock_operator.runs.cache.entry import EntryLabels, Holder, Lock, Outputs, StoredEntry, build_entry, build_patch

logger = logging.getLogger(__name__)

T = TypeVar("T")

_METADATA: Final = msgspec.json.Decoder(PartialObject)


class CacheStore:
    """Reads and writes entries of the cache.

    Every method raises ApiError when the API server refuses permanently, and waits as long as it does not answer.

    Args:
        client: for reads.
        writer: for writes.
        new_backoff: makes the pauses between reads that fail.
    """

    def __init__(self, client: ApiClient, writer: Writer, *, new_backoff: Callable[[], Backoff] = Backoff) -> None:
        self._client = client
        self._writer = writer
        self._new_backoff = new_backoff

    async def get_entry(self, key: ObjectKey) -> StoredEntry | None:
        """Read an entry; None if there is none."""
        return await self._get(CONFIGMAPS, key, StoredEntry)

    async def create_entry(self, key: ObjectKey, labels: EntryLabels, content: Lock | Outputs) -> ObjectMeta | None:
        """Create an entry; None if there is one already."""
        body = msgspec.json.encode(build_entry(key, labels, content))
        try:
            reply = await self._writer.create(CONFIGMAPS, key.namespace, body, accept=METADATA, priority=Priority.CACHE)
        except ApiError as error:
            if is_already_exists(error):
                return None
            raise
        return _METADATA.decode(reply.body).metadata

    async def replace_entry(
        self, key: ObjectKey, found: ObjectMeta, labels: EntryLabels, content: Lock | Outputs
    ) -> ObjectMeta | None:
        """Give an entry another content; None if it has changed since it was found."""
        patch = msgspec.json.encode(build_patch(found, labels, content))
        try:
            reply = await self._writer.patch(
                CONFIGMAPS, key.namespace, key.name, patch, accept=METADATA, priority=Priority.CACHE
            )
        except ApiError as error:
            if _was_changed(error):
                return None
            # Another writer made it immutable, for example: it cannot be changed, but it can be deleted.
            logger.info("Cache entry %s is rejected on update; deleting and recreating it: %s", key, error)
            return await self.create_entry(key, labels, content) if await self.delete_entry(key, found) else None
        return _METADATA.decode(reply.body).metadata

    async def delete_entry(self, key: ObjectKey, found: ObjectMeta) -> bool:
        """Delete an entry; false if it has changed since it was found."""
        try:
            await self._writer.delete(
                CONFIGMAPS,
                key.namespace,
                key.name,
                found.uid,
                resource_version=found.resource_version,
                priority=Priority.CACHE,
            )
        except ApiError as error:
            if _was_changed(error):
                return False
            raise
        return True

    async def is_holder_running(self, namespace: str, holder: Holder) -> bool:
        """Whether the holder of a lock still runs, according to its run's stored status."""
        run = await self._get(FLOWRUNS, ObjectKey(namespace, holder.run), FlowRun)
        if run is None or run.uid != holder.uid or run.is_deleting or is_run_finished(run.status):
            return False
        return not is_task_instance_finished(run.status, holder.key)

    async def has_outputs(self, namespace: str, source: Holder, outputs: Mapping[str, Any]) -> bool:
        """Whether a run exists whose stored status says that it produced these outputs."""
        run = await self._get(FLOWRUNS, ObjectKey(namespace, source.run), FlowRun)
        return run is not None and run.uid == source.uid and has_outputs(run.status, source.key, outputs)

    async def _get(self, resource: Resource, key: ObjectKey, kind: type[T]) -> T | None:
        return await read_until_answered(
            lambda: self._client.get(resource, key.namespace, key.name, kind=kind),
            f"{resource.plural} {key}",
            may_pass=is_transient,
            backoff=self._new_backoff(),
        )


def _was_changed(error: ApiError) -> bool:
    return is_precondition_failed(error) or is_conflict(error) or is_not_found(error)
