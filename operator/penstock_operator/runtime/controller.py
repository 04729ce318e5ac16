"""A controller of a long-lived kind: objects come in from kopf, each is reconciled by key, one status goes out."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from penstock.engine.keys import ObjectKey
from penstock.engine.reasons import Reason
from penstock.kube.client import MERGE_PATCH, METADATA
from penstock.kube.conditions import condition, find_condition
from penstock.kube.errors import ApiError, DeposedError, NotLeaderError, is_not_found
from penstock.kube.kinds.backfill import Backfill, BackfillStatus
from penstock.kube.kinds.flow import Flow, FlowStatus
from penstock.kube.kinds.flow_defaults import FlowDefaults, FlowDefaultsStatus
from penstock.kube.kinds.schedule import Schedule, ScheduleStatus
from penstock.kube.merge_patch import apply_merge_patch
from penstock.kube.metadata import ObjectMeta, PartialObject
from penstock.kube.reflector import EventType
from penstock.kube.resources import Resource
from penstock.kube.writer import Writer
from penstock_operator.metrics import Metrics
from penstock_operator.runtime.parking import Parking, describe_error
from penstock_operator.runtime.recorder import EventRecorder, Regarding
from penstock_operator.runtime.workers import run_workers
from penstock_operator.runtime.workqueue import WorkQueue, expose_queue

logger = logging.getLogger(__name__)

RETRY_S: Final = 10.0
INTERNAL_ERROR: Final = Reason.INTERNAL_ERROR.value
MESSAGE: Final = "{}; the log of the operator has the details. It is tried again after a growing pause"
WORKERS: Final = 8

Object = TypeVar("Object", bound=Flow | Schedule | Backfill | FlowDefaults)
Recorded_contra = TypeVar("Recorded_contra", bound=Flow | Schedule | Backfill | FlowDefaults, contravariant=True)
Status = FlowStatus | ScheduleStatus | BackfillStatus | FlowDefaultsStatus


class _WrittenStatus(NamedTuple):
    """A status that was stored, and that kopf may not have shown yet."""

    uid: str
    version: int
    status: Status


class RecordEvent(Protocol[Recorded_contra]):
    """Records a Kubernetes Event about an object: `KeyedController.record_event`."""

    def __call__(self, item: Recorded_contra, *, is_warning: bool, reason: str, note: str) -> None:
        """Record a Warning or Normal Event about the item; `reason` is its CamelCase word for programs."""


def decode_as(
    kind: type[Object], *receivers: Callable[[EventType, Object], None]
) -> Callable[[EventType, Mapping[str, Any]], None]:
    """Decode each object that kopf hands over, once for all its receivers.

    Args:
        kind: what it is.
        receivers: called in this order.
    """

    def receive(event: EventType, body: Mapping[str, Any]) -> None:
        metadata = body.get("metadata") or {}
        name = f"{metadata.get('namespace')}/{metadata.get('name')}"
        try:
            decoded = msgspec.convert(body, kind)
        except msgspec.ValidationError as error:
            # The CRD's schema rules it out, unless the CRD is of another version than this operator.
            logger.error("Ignoring %s %s: it cannot be decoded: %s", kind.__name__, name, error)  # noqa: TRY400 - the fault is in the object
            return
        for receiver in receivers:
            try:
                receiver(event, decoded)
            except Exception:
                logger.exception("Failed to handle %s of %s %s", event, kind.__name__, name)

    return receive


class KeyedController(ABC, Generic[Object]):
    """Reconciles the objects of one kind.

    A status counts as stored from the API server's reply on: until kopf shows the object with it, `reconcile` gets the
    object with that status all the same. Otherwise what is decided by the status would be decided twice.

    Args:
        resource: the kind.
        kind: its name in Events.
        writer: for writes.
        recorder: for Events.
        metrics: where parked objects are counted.
        fail: called with an error after which this process must not continue.
        clock: seconds since the epoch.
    """

    workers = WORKERS
    """Objects reconciled concurrently."""
    error_condition = "Ready"
    """The condition that is False while an object is parked."""
    ignores_own_writes = False
    """Whether an object in which nothing but its own status has changed is not reconciled again."""

    def __init__(
        self,
        resource: Resource,
        *,
        kind: str,
        writer: Writer,
        recorder: EventRecorder,
        metrics: Metrics,
        fail: Callable[[BaseException], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.resource = resource
        self.kind = kind
        self.writer = writer
        self.clock = clock
        self.objects: dict[ObjectKey, Object] = {}
        self.queue: WorkQueue[ObjectKey] = WorkQueue()
        self.metrics = metrics
        self._recorder = recorder
        self._parking: Parking[ObjectKey] = Parking(kind, metrics)
        expose_queue(metrics, self.queue, kind)
        self._fail = fail
        self._written: dict[ObjectKey, _WrittenStatus] = {}

    def on_object(self, event: EventType, item: Object) -> None:
        """Handle a change of an object."""
        metadata, key = item.metadata, item.metadata.key
        if event is EventType.DELETED:
            self.objects.pop(key, None)
            self._written.pop(key, None)
            self.queue.forget_key(key)
            self._parking.forget_object(key)
            self.forget_object(key)
            return
        before, self.objects[key] = self.objects.get(key), item
        if before is None or (before.metadata.uid, before.metadata.generation) != (metadata.uid, metadata.generation):
            self._parking.release(key)
        written = self._written.get(key)
        if written is not None and (written.uid != metadata.uid or written.version <= metadata.version):
            del self._written[key]
            if self.ignores_own_writes and before is not None and _is_own_write(written, before.metadata, metadata):
                self.on_own_write(key, before, item)
                return
        self.queue.add(key)

    def on_own_write(self, key: ObjectKey, before: Object, item: Object) -> None:
        """Handle an object in which nothing has changed but the status that was stored."""

    async def work(self) -> None:
        """Reconcile objects forever."""
        await self.run_workers(self.queue, self._reconcile_latest, workers=self.workers)

    async def run_workers(
        self, queue: WorkQueue[ObjectKey], reconcile: Callable[[ObjectKey], Awaitable[None]], *, workers: int
    ) -> None:
        """Call a function with each key of a queue, forever; a key that fails is retried."""

        async def attempt(key: ObjectKey) -> None:
            retry_at = self._parking.retry_at(key)
            if retry_at is not None:
                queue.add_at(key, retry_at)
                return
            await reconcile(key)
            if queue is self.queue:
                self._parking.succeed(key)

        await run_workers(
            queue, attempt, kind=self.kind, workers=workers, retry_s=RETRY_S, fail=self._fail, on_error=self._park
        )

    async def _park(self, key: ObjectKey, error: Exception) -> None:
        """Set an object aside whose reconciliation failed unexpectedly, and store that."""
        self.queue.add_at(key, self._parking.park(key, error))
        self.drop_state(key)
        item = KeyedController.latest(self, key)
        if item is None:
            return
        try:
            await self.store_internal_error(key, item, MESSAGE.format(describe_error(error)))
        except (DeposedError, NotLeaderError):
            raise
        except Exception:
            logger.warning("Failed to store the condition of %s %s", self.kind, key, exc_info=True)

    def retry_now(self, key: ObjectKey) -> None:
        """Have an object reconciled, parked or not, because something that it uses has changed."""
        self._parking.release(key)
        self.queue.add(key)

    def drop_state(self, key: ObjectKey) -> None:
        """Drop what is kept in memory of an object and may be wrong, because its reconciliation failed."""

    async def store_internal_error(self, key: ObjectKey, item: Object, message: str) -> None:
        """Store in an object's status that it could not be reconciled, if its status does not say so."""
        known, metadata = find_condition(item.status.conditions, self.error_condition), item.metadata
        if known is not None and (known.reason, known.message) == (INTERNAL_ERROR, message):
            return
        self.record_event(item, is_warning=True, reason=INTERNAL_ERROR, note=message)
        new = condition(
            item.status.conditions,
            self.error_condition,
            "False",
            reason=INTERNAL_ERROR,
            message=message,
            generation=metadata.generation,
            now=self.clock(),
        )
        conditions = [new if one is known else one for one in item.status.conditions]
        await self.store_status(key, item, {"conditions": conditions if known is not None else [*conditions, new]})

    async def _reconcile_latest(self, key: ObjectKey) -> None:
        item = self.latest(key)
        if item is not None:
            await self.reconcile(key, item)

    def latest(self, key: ObjectKey) -> Object | None:
        """Return an object with the status that was stored last; None if there is none of this name."""
        item, written = self.objects.get(key), self._written.get(key)
        return item if item is None or written is None else msgspec.structs.replace(item, status=written.status)

    @abstractmethod
    async def reconcile(self, key: ObjectKey, item: Object) -> None:
        """Bring one object to where it should be."""

    @abstractmethod
    def forget_object(self, key: ObjectKey) -> None:
        """Drop what is kept of an object that is gone."""

    async def store_status(self, key: ObjectKey, item: Object, changes: Mapping[str, Any]) -> None:
        """Store fields of an object's status, if they differ from what is stored.

        Args:
            key: the object.
            item: as it is now.
            changes: fields of the status by their names in JSON; None removes one.
        """
        stored, wanted = msgspec.to_builtins(item.status), msgspec.to_builtins(changes)
        if all(stored.get(name) == value for name, value in wanted.items()):
            return
        patch = {"metadata": {"uid": item.metadata.uid}, "status": wanted}
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
        metadata = msgspec.json.decode(reply.body, type=PartialObject).metadata
        seen = self.objects.get(key)
        if seen is not None and metadata.version > seen.metadata.version:
            status = apply_merge_patch(item.status, wanted)
            self._written[key] = _WrittenStatus(metadata.uid, metadata.version, status)

    def record_event(self, item: Object, *, is_warning: bool, reason: str, note: str) -> None:
        """Record a Kubernetes Event about an object."""
        metadata = item.metadata
        regarding = Regarding(self.kind, metadata.namespace, metadata.name, metadata.uid)
        identity = str(metadata.generation)
        self._recorder.record(regarding, is_warning=is_warning, reason=reason, note=note, identity=identity)


def _is_own_write(written: _WrittenStatus, before: ObjectMeta, now: ObjectMeta) -> bool:
    """Whether nothing but the status that was stored has changed in an object."""
    return (
        written.version == now.version
        and before.uid == now.uid
        and before.generation == now.generation
        and now.deletion_timestamp is None
    )
