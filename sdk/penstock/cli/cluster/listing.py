"""Lists of objects, and watches that continue them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import urllib3.exceptions
from kubernetes import watch
from kubernetes.client.exceptions import ApiException

from penstock.cli.cluster.api_errors import GONE, is_transient
from penstock.cli.cluster.interruptible import read_in_thread
from penstock.drawing.task_rows import Object

WATCH_S: Final = 300
"""The server closes a watch after this time; the next one continues where it ended."""
READ_TIMEOUT_S: Final = WATCH_S + 30
"""A connection that is silent for longer than a watch lasts is broken."""
CONNECT_TIMEOUT_S: Final = 10
RECONNECT_S: Final = 1
"""Delay before a reconnect, to limit the load on a failing server."""
MAX_RECONNECTS: Final = 60
"""Consecutive failures before a watch gives up; a restarting API server needs less than this."""


class WatchEvent(NamedTuple):
    """One change of an object."""

    type: str
    """ADDED, MODIFIED or DELETED."""
    object: Object


class WatchableList(NamedTuple):
    """A list call that can also be watched."""

    send: Callable[..., Object]
    """As `Cluster.send`."""
    open: Callable[..., Any]
    """As `Cluster.open`."""
    path: str
    selector: dict[str, str]

    def items(self) -> tuple[str, list[Object]]:
        """Return the resource version of the list, and its objects."""
        answer = self.send("GET", self.path, query=self.selector)
        return answer["metadata"]["resourceVersion"], answer["items"]

    def follow(self, known: Mapping[str, Object], *, until: float | None = None) -> Iterator[WatchEvent]:
        """Yield the existing objects, and then each change.

        Args:
            known: objects by uid that the caller has seen; for those that no longer exist, DELETED is yielded.
            until: when to end (monotonic clock); default: never.
        """
        while not _is_past(until):
            version, objects = self.items()
            current = {each["metadata"]["uid"]: each for each in objects}
            # No watch event reports what was deleted while no watch was open.
            yield from (WatchEvent("DELETED", each) for uid, each in known.items() if uid not in current)
            yield from (WatchEvent("MODIFIED", each) for each in objects)
            known = current
            try:
                for event in self._watch(version, until):
                    current[event.object["metadata"]["uid"]] = event.object
                    yield event
            except ApiException as error:
                if error.status != GONE:
                    raise

    def _watch(self, version: str, until: float | None) -> Iterator[WatchEvent]:
        failures = 0
        while not _is_past(until):
            stream: Any = watch.Watch("object")  # type: ignore[no-untyped-call]  # the library has no types
            try:
                events = stream.stream(
                    self._open_watch,
                    resource_version=version,
                    timeout_seconds=WATCH_S if until is None else _seconds_to(until),
                )
                for event in read_in_thread(events, stream.stop):
                    failures = 0
                    yield WatchEvent(event["type"], event["raw_object"])
            except (urllib3.exceptions.HTTPError, ApiException) as error:
                failures += 1
                if failures > MAX_RECONNECTS or not is_transient(error):
                    raise
                time.sleep(RECONNECT_S)
            version = stream.resource_version or version

    def _open_watch(self, *, resource_version: str, timeout_seconds: int, **_: bool) -> Any:
        """Do as the functions of the official client that it knows how to watch."""
        query = {"watch": "true", "resourceVersion": resource_version, "timeoutSeconds": str(timeout_seconds)}
        return self.open(self.path, {**self.selector, **query}, read_timeout_s=READ_TIMEOUT_S)


def _is_past(until: float | None) -> bool:
    return until is not None and time.monotonic() >= until


def _seconds_to(until: float) -> int:
    """Return the remaining time as a watch takes it: whole seconds, at least one."""
    return max(1, min(WATCH_S, math.ceil(until - time.monotonic())))
