"""Pods that wait on their nodes without a word in their status: why they don't start is read from their Events.

The kubelet reports what keeps it from preparing a Pod, such as a volume that cannot be mounted, nowhere else. Events
are not watched: all Pods of the cluster have many. They are read for Pods that wait longer than a start takes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from penstock.engine.keys import RunUid
from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiError, ApiUnreachableError
from penstock.kube.resources import EVENTS
from penstock_operator.runs.live_run import LiveRun
from penstock_operator.runs.registry import RunRegistry
from penstock_operator.workloads.obstacle import Obstacle, find_obstacle_in_event, is_waiting_silently
from penstock_operator.workloads.pod import Pod, run_uid

logger = logging.getLogger(__name__)

FIRST_READ_S: Final = 4.0
"""A Pod whose image is on the node starts sooner."""
PAUSE_S: Final = 6.0
"""Between two reads for a Pod of which nothing is known: what the kubelet reports is seen within this time."""
KNOWN_PAUSE_S: Final = 10.0
"""Between two reads for a Pod whose Events have said why it waits: when that is mended, they may say what is next."""
READ_PAUSE_S: Final = 2.0
"""Between two reads in one namespace. The API server reads all Events of it each time, whatever is selected."""
READS_AT_ONCE: Final = 4
"""Of all namespaces."""
SELECTOR: Final = "regarding.kind=Pod,type=Warning"


class _Regarding(msgspec.Struct, frozen=True):
    uid: str = ""


class _Series(msgspec.Struct, frozen=True, rename="camel"):
    last_observed_time: str | None = None


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    regarding: _Regarding = _Regarding()
    reason: str = ""
    note: str = ""
    event_time: str | None = None
    deprecated_last_timestamp: str | None = None
    series: _Series | None = None

    @property
    def last_seen(self) -> str:
        series = None if self.series is None else self.series.last_observed_time
        return series or self.deprecated_last_timestamp or self.event_time or ""


@dataclass(slots=True)
class _Namespace:
    """The silent Pods of a namespace, by uid."""

    pods: dict[str, Pod] = field(default_factory=dict)
    found: dict[str, Obstacle] = field(default_factory=dict)
    due_at: dict[str, float] = field(default_factory=dict)
    """When the Events of a Pod are to be read next, monotonic seconds."""
    task: asyncio.Task[None] | None = None

    def forget_pod(self, uid: str) -> None:
        """Forget a Pod."""
        for known in (self.pods, self.found, self.due_at):
            known.pop(uid, None)

    def take_due(self, now: float) -> list[str]:
        """Return the Pods whose Events are to be read now, and set the next time."""
        due = [uid for uid, at in self.due_at.items() if at <= now]
        for uid in due:
            self.due_at[uid] = now + (KNOWN_PAUSE_S if uid in self.found else PAUSE_S)
        return due


class PodEvents:
    """Finds out why Pods don't start whose status does not say so.

    Args:
        client: for reads.
        registry: the live runs.
        record_pod: handles a Pod of a live run of which something new is known, as it was last seen.
    """

    def __init__(self, client: ApiClient, registry: RunRegistry, record_pod: Callable[[LiveRun, Pod], None]) -> None:
        self._client = client
        self._registry = registry
        self._record_pod = record_pod
        self._namespaces: dict[str, _Namespace] = {}
        self._reads = asyncio.Semaphore(READS_AT_ONCE)

    def note_pod(self, pod: Pod) -> Obstacle | None:
        """Follow a Pod while it waits silently; returns what is known of it."""
        metadata = pod.metadata
        if not is_waiting_silently(pod):
            self.forget_pod(pod)
            return None
        namespace = self._namespaces.setdefault(metadata.namespace, _Namespace())
        if metadata.uid not in namespace.pods:
            namespace.due_at[metadata.uid] = time.monotonic() + FIRST_READ_S
        namespace.pods[metadata.uid] = pod
        if namespace.task is None:
            namespace.task = asyncio.create_task(self._read_all(metadata.namespace, namespace))
        return namespace.found.get(metadata.uid)

    def forget_pod(self, pod: Pod) -> None:
        """Forget a Pod that has started, ended or said why it waits."""
        namespace = self._namespaces.get(pod.metadata.namespace)
        if namespace is not None and pod.metadata.uid in namespace.pods:
            namespace.forget_pod(pod.metadata.uid)

    async def close(self) -> None:
        """Stop reading."""
        tasks = [namespace.task for namespace in self._namespaces.values() if namespace.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_all(self, name: str, namespace: _Namespace) -> None:
        while namespace.pods:
            wait_s = min(namespace.due_at.values()) - time.monotonic()
            if wait_s > 0:
                # Another Pod may come to wait meanwhile.
                await asyncio.sleep(min(wait_s, FIRST_READ_S))
                continue
            try:
                await self._read_for(name, namespace, namespace.take_due(time.monotonic()))
            except Exception as error:  # noqa: BLE001 - counted and logged; the other Pods still wait for an answer
                self._registry.count_error("Event", name, error)
            await asyncio.sleep(READ_PAUSE_S)
        if self._namespaces.get(name) is namespace:
            del self._namespaces[name]

    async def _read_for(self, name: str, namespace: _Namespace, uids: list[str]) -> None:
        """Read the Events of a namespace for some of its Pods."""
        try:
            async with self._reads:
                events = await self._read_events(name, frozenset(uids))
        except (ApiError, ApiUnreachableError, msgspec.DecodeError) as error:
            logger.warning("Failed to read the Events of Pods in namespace %s; trying again: %s", name, error)
            return
        for uid in uids:
            pod = namespace.pods.get(uid)
            run = None if pod is None else self._registry.find_run(RunUid(name, run_uid(pod)))
            if pod is None or run is None:
                namespace.forget_pod(uid)
                continue
            found = _latest_obstacle(pod, events.get(uid, []))
            if found is not None and found != namespace.found.get(uid):
                namespace.found[uid] = found
                namespace.due_at[uid] = time.monotonic() + KNOWN_PAUSE_S
                try:
                    self._record_pod(run, pod)
                except Exception as error:  # noqa: BLE001 - the owner logs it
                    self._registry.handle_error(run, error)

    async def _read_events(self, namespace: str, uids: frozenset[str]) -> dict[str, list[_Event]]:
        """Read the warnings about some Pods, by the Pod's uid."""
        found: dict[str, list[_Event]] = {}
        async for event in self._client.list(EVENTS, kind=_Event, namespace=namespace, field_selector=SELECTOR):
            if event.regarding.uid in uids:
                found.setdefault(event.regarding.uid, []).append(event)
        return found


def _latest_obstacle(pod: Pod, events: list[_Event]) -> Obstacle | None:
    """Return what the latest Event says that says why a Pod does not start."""
    for event in sorted(events, key=lambda one: one.last_seen, reverse=True):
        if (found := find_obstacle_in_event(pod, event.reason, event.note)) is not None:
            return found
    return None
