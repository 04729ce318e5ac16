"""Kubernetes Events, which `kubectl describe` shows. Never the only record of anything."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.errors import PenstockError
from penstock.kube.client import METADATA
from penstock.kube.errors import ApiError, is_already_exists, is_namespace_terminating, is_not_found
from penstock.kube.resources import EVENTS
from penstock.kube.writer import Priority, Writer

logger = logging.getLogger(__name__)

CONTROLLER: Final = f"{names.GROUP}/operator"
RETRY_FOR_S: Final = 30.0
"""How long the creation of an Event is retried."""
WAITING: Final = 2000
"""Events waiting to be sent; with so many, more are dropped of namespaces that have their share of them, so that they
add no load to an operator in trouble."""
NOTE_CHARACTERS: Final = 1024
"""https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/: note is less than 1kB."""


class Regarding(NamedTuple):
    """The object that an Event is about."""

    kind: str
    namespace: str
    name: str
    uid: str


class EventRecorder:
    """Sends Events in the background.

    Args:
        writer: for the writes.
        instance: identity of this replica.
    """

    def __init__(self, writer: Writer, *, instance: str) -> None:
        self._writer = writer
        self._instance = instance
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: Counter[str] = Counter()
        """Events waiting to be sent, by namespace."""

    def record(self, regarding: Regarding, *, is_warning: bool, reason: str, note: str, identity: str = "") -> None:
        """Record an Event.

        Args:
            regarding: what it is about.
            is_warning: whether a person may have to act.
            reason: CamelCase word for programs.
            note: text for people.
            identity: what makes it different from others of the same reason; the same Event twice is one.
        """
        namespace = regarding.namespace
        if len(self._tasks) >= WAITING and self._waiting[namespace] * len(self._waiting) >= WAITING:
            return
        event = build_event(
            regarding, is_warning=is_warning, reason=reason, note=note, identity=identity, instance=self._instance
        )
        task = asyncio.create_task(self._send(namespace, msgspec.json.encode(event)))
        self._tasks.add(task)
        self._waiting[namespace] += 1

        def forget_task(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._waiting[namespace] -= 1
            if not self._waiting[namespace]:
                del self._waiting[namespace]

        task.add_done_callback(forget_task)

    async def flush(self) -> None:
        """Wait until every recorded Event has been sent or dropped."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self, namespace: str, body: bytes) -> None:
        try:
            deadline = time.monotonic() + RETRY_FOR_S
            await self._writer.create(
                EVENTS, namespace, body, accept=METADATA, deadline=deadline, priority=Priority.EVENT
            )
        except ApiError as error:
            if not (is_already_exists(error) or is_namespace_terminating(error) or is_not_found(error)):
                logger.warning("Failed to create an Event: %s", error)
        except PenstockError as error:
            logger.debug("Failed to create an Event: %s", error)


def build_event(
    regarding: Regarding, *, is_warning: bool, reason: str, note: str, identity: str, instance: str
) -> dict[str, Any]:
    """Build an Event of `events.k8s.io/v1`; see `EventRecorder.record` for the arguments."""
    digest = hashlib.sha256(f"{regarding.uid}\0{reason}\0{identity}\0{note}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": regarding.namespace, "name": f"{regarding.name}.{digest}"},
        "eventTime": datetime.now(tz=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
        "action": "Reconcile",
        "reason": reason,
        "type": "Warning" if is_warning else "Normal",
        "note": note if len(note) < NOTE_CHARACTERS else f"{note[: NOTE_CHARACTERS - 4]}...",
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": regarding.kind,
            "namespace": regarding.namespace,
            "name": regarding.name,
            "uid": regarding.uid,
        },
    }
