"""A live view of one kind of object: list, then watch, forever, whatever the network does.

The caller is notified of every object that is added, modified or deleted. Changes while no watch was open are derived
from the next list, so that a deletion is never lost; intermediate states may be.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from penstock.engine.keys import ObjectKey
from penstock.kube.backoff import Backoff
from penstock.kube.client import JSON, METADATA, METADATA_LIST, ApiClient
from penstock.kube.errors import ApiError, ApiUnreachableError, Status, is_expired
from penstock.kube.lines import LineSplitter
from penstock.kube.metadata import HasMetadata, PartialObject
from penstock.kube.nesting import decode_json
from penstock.kube.page import METADATA_PAGE_ITEMS, PAGE_ITEMS, Page, object_decoder, read_object, read_page
from penstock.kube.resources import Resource

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=HasMetadata)

INACTIVITY_S = 90.0
"""A watch that receives nothing for so long is dead: the API server sends a bookmark about every minute."""
WATCH_TIMEOUTS_S: Final = (240, 480)
"""The API server ends a watch after a random time between these, so that watches are spread over its replicas again."""
HEALTHY_S = 5.0
"""A watch that ends sooner, without having received anything, counts as failed. After one that lasted so long, the next
failure counts as the first."""
TOO_LARGE_VERSION: Final = "ResourceVersionTooLarge"
"""Cause of a refusal by an API server that is behind the one that the resourceVersion came from."""


class EventType(StrEnum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class _Known(NamedTuple):
    uid: str
    resource_version: str


class _Event(msgspec.Struct, Generic[T]):
    type: str
    object: T


class _RawEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


_RAW_EVENT: Final = msgspec.json.Decoder(_RawEvent)


class Reflector(Generic[T]):
    """Lists and watches one kind of object.

    Args:
        client: the way to the API server.
        resource: what to watch.
        kind: how an object is decoded: a msgspec Struct with `metadata`. Unless `keep_objects`, everything else in it
            has a default: of an object deleted while no watch was open, only name, namespace and uid are known. It may
            have `page_items`, the number of objects in one page of the list.
        on_event: called with every change; synchronous and quick. What it raises is logged, and the watch continues.
        on_synced: called once, when the first list is complete.
        namespace: empty for all namespaces.
        label_selector: as in `kubectl -l`; an object that leaves the selection is reported as DELETED.
        field_selector: as in `kubectl --field-selector`, likewise.
        metadata_only: request metadata alone; `kind` is then `PartialObject` or alike.
        keep_objects: hold the last state of every object in `objects`, and report it when the object is gone.
        inactivity_s: a watch that receives nothing for longer is opened again.
        backoff: pauses after failures.
        clock: monotonic seconds.
        sleep: waits for a number of seconds.

    Raises:
        TypeError: `kind` has required fields besides `metadata`, and `keep_objects` is off.
    """

    def __init__(
        self,
        client: ApiClient,
        resource: Resource,
        *,
        kind: type[T],
        on_event: Callable[[EventType, T], None],
        on_synced: Callable[[], None] | None = None,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        keep_objects: bool = False,
        inactivity_s: float = INACTIVITY_S,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.synced = asyncio.Event()
        self._client = client
        self._resource = resource
        self._namespace = namespace
        self._path = resource.path(namespace)
        self._kind = kind
        self._on_event = on_event
        self._on_synced = on_synced
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._selectors = {name: value for name, value in selectors.items() if value}
        self._accept_list, self._accept_watch = (METADATA_LIST, METADATA) if metadata_only else (JSON, JSON)
        self._keep_objects = keep_objects
        self._page_items: int | None = METADATA_PAGE_ITEMS if metadata_only else getattr(kind, "page_items", None)
        self._inactivity_s = inactivity_s
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._sleep = sleep
        self._event_decoder = msgspec.json.Decoder(_Event[kind])  # type: ignore[valid-type] # a type made at run time
        self._known: dict[ObjectKey, _Known] = {}
        self._objects: dict[ObjectKey, T] = {}
        self._version = ""
        self._has_listed_again = False
        """Whether the version was too old once already since a watch was well: the next list waits its turn."""
        self._received_at = clock()
        if not keep_objects:
            try:
                self._tombstone(ObjectKey("", "check"), _Known("", ""))
            except msgspec.ValidationError as error:
                raise TypeError(
                    f"{kind.__name__} cannot stand for a deleted object ({error}): give its fields defaults"
                ) from error

    @property
    def plural(self) -> str:
        """What is watched, as in `pods`."""
        return self._resource.plural

    @property
    def objects(self) -> Mapping[ObjectKey, T]:
        """The last known state of every object; empty unless `keep_objects`."""
        return MappingProxyType(self._objects)

    @property
    def version(self) -> str:
        """The resourceVersion up to which everything is known; empty before the first list."""
        return self._version

    def age_s(self, now: float) -> float:
        """Seconds since anything was received from the API server, at most about a minute if all is well.

        Args:
            now: on the reflector's clock.
        """
        return now - self._received_at

    async def run(self) -> None:
        """List and watch until cancelled; every failure is retried."""
        while True:
            try:
                if not self._version:
                    await self._list()
                began_at = self._clock()
                await self._watch()
                if self._clock() - began_at < HEALTHY_S:
                    await self._sleep(self._backoff.next_s())
            except ApiError as error:
                if _needs_list(error):
                    self._version = ""
                if is_expired(error) and not self._has_listed_again:
                    self._has_listed_again = True
                    logger.info("Listing %s again: %s", self._resource.plural, error)
                else:
                    await self._pause(error, self._backoff.next_s(error.retry_after_s))
            except ApiUnreachableError as error:
                await self._pause(error, self._backoff.next_unanswered_s())
            except msgspec.DecodeError as error:
                await self._pause(error, self._backoff.next_s())

    async def _pause(self, error: Exception, pause_s: float) -> None:
        logger.warning("Failed to watch %s: %s; retrying in %.1f s", self._resource.plural, error, pause_s)
        await self._sleep(pause_s)

    def _on_healthy_watch(self) -> None:
        self._backoff.reset()
        self._has_listed_again = False

    async def _list(self) -> None:
        """Read everything as it is now, and report what is gone."""
        seen: set[ObjectKey] = set()
        version = ""
        pages = self._client.pages(
            self._resource,
            lambda body: self._decode_page(body, seen),
            namespace=self._namespace,
            label_selector=self._selectors.get("labelSelector", ""),
            field_selector=self._selectors.get("fieldSelector", ""),
            page_items=self._page_items or PAGE_ITEMS,
            accept=self._accept_list,
        )
        async for page in pages:
            self._received_at = self._clock()
            for item in page.items or ():
                self._add_or_update(item)
            version = page.metadata.resource_version
        for key in self._known.keys() - seen:
            self._report_missing(key)
        self._version = version
        if not self.synced.is_set():
            self.synced.set()
            if self._on_synced is not None:
                self._on_synced()

    def _decode_page(self, body: bytes, seen: set[ObjectKey]) -> Page[T]:
        page, skipped = read_page(self._kind, body, plural=self._resource.plural)
        seen.update(item.metadata.key for item in page.items or ())
        # One object that cannot be decoded must not look as if it were gone.
        seen.update(skipped)
        return page

    async def _watch(self) -> None:
        """Follow the changes since the last known version until the API server ends the stream."""
        query = {
            **self._selectors,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(random.randint(*WATCH_TIMEOUTS_S)),  # noqa: S311 - spreads load, guards nothing
        }
        splitter = LineSplitter()
        async with self._client.stream(
            self._path, query=query, accept=self._accept_watch, inactivity_s=self._inactivity_s
        ) as pieces:
            opened_at = self._clock()
            try:
                async for piece in pieces:
                    self._received_at = self._clock()
                    for line in splitter.feed(piece):
                        self._handle_line(line)
                    self._on_healthy_watch()
            finally:
                # Of a kind of which nothing changes, nothing may have come before the connection broke.
                if self._clock() - opened_at >= HEALTHY_S:
                    self._on_healthy_watch()

    def _handle_line(self, line: bytes) -> None:
        try:
            event: _Event[T] = decode_json(self._event_decoder, line)
        except msgspec.ValidationError:
            self._handle_unexpected_line(line)
            return
        if event.type in ("ADDED", "MODIFIED"):
            self._add_or_update(event.object)
        elif event.type == "DELETED":
            self._forget_object(event.object.metadata.key)
            self._notify(EventType.DELETED, event.object)
        elif event.type != "BOOKMARK":
            self._handle_unexpected_line(line)
            return
        self._version = event.object.metadata.resource_version

    def _handle_unexpected_line(self, line: bytes) -> None:
        event = decode_json(_RAW_EVENT, line)
        if event.type == "ERROR":
            raise ApiError.from_status(decode_json(object_decoder(Status), bytes(event.object)))
        metadata = decode_json(object_decoder(PartialObject), bytes(event.object)).metadata
        if event.type == "DELETED":
            self._report_missing(metadata.key)
        else:
            read_object(self._kind, event.object, plural=self._resource.plural)
        self._version = metadata.resource_version

    def _add_or_update(self, item: T) -> None:
        metadata = item.metadata
        key = metadata.key
        known = self._known.get(key)
        if known is not None and known.uid != metadata.uid:
            self._report_missing(key)
            known = None
        if known is not None and known.resource_version == metadata.resource_version:
            return
        self._known[key] = _Known(metadata.uid, metadata.resource_version)
        if self._keep_objects:
            self._objects[key] = item
        self._notify(EventType.ADDED if known is None else EventType.MODIFIED, item)

    def _report_missing(self, key: ObjectKey) -> None:
        """Report an object as deleted that is gone, or that was replaced by another of its name."""
        known = self._known.get(key)
        if known is None:
            return
        item = self._objects.get(key) or self._tombstone(key, known)
        self._forget_object(key)
        self._notify(EventType.DELETED, item)

    def _forget_object(self, key: ObjectKey) -> None:
        self._known.pop(key, None)
        self._objects.pop(key, None)

    def _tombstone(self, key: ObjectKey, known: _Known) -> T:
        metadata = {"name": key.name, "namespace": key.namespace, "uid": known.uid}
        return msgspec.convert({"metadata": {**metadata, "resourceVersion": known.resource_version}}, self._kind)

    def _notify(self, event: EventType, item: T) -> None:
        try:
            self._on_event(event, item)
        except Exception:
            # An error of the observer over one object must not end the watch of all.
            logger.exception("Failed to handle %s of %s %s", event, self._resource.plural, item.metadata.key)


def _needs_list(error: ApiError) -> bool:
    """Return whether a watch cannot continue from the last known version."""
    if is_expired(error) or any(cause.reason == TOO_LARGE_VERSION for cause in error.details.causes):
        return True
    return HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR and error.status not in (
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.REQUEST_TIMEOUT,
    )
