"""Writes to the API server: bounded, retried, and only by the leader."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from penstock.kube.backoff import Backoff
from penstock.kube.client import JSON, JSON_PATCH, METADATA, ApiClient, Response
from penstock.kube.errors import ApiError, ApiUnreachableError, NotLeaderError, is_conflict, is_transient
from penstock.kube.idle import IdleSignal
from penstock.kube.resources import Resource

logger = logging.getLogger(__name__)

FOREVER: Final = float("inf")


class Writer:
    """Creates, patches and deletes objects.

    A refusal that may pass (429, 5xx, no answer, a conflict on create) is tried again, after the pause that the API
    server asks for and a growing, jittered one of our own, until the deadline. Anything else is raised at once. A write
    without an answer may have been carried out: a create that is tried again may say AlreadyExists.

    Args:
        client: the way to the API server.
        in_flight: writes at the same time; more wait their turn, in order.
        may_write: asked right before each send.
        disturbs: what its writes disturb. One that was refused and pauses disturbs nobody: it may do so for hours.
        yields_to: what its writes wait for, each as long as it has not waited for `patience_s`.
        patience_s: the longest that a write waits for quiet, seconds.
        clock: monotonic seconds.
        sleep: waits for a number of seconds.
        new_backoff: makes the pauses of one write.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        in_flight: int,
        may_write: Callable[[], bool],
        disturbs: IdleSignal | None = None,
        yields_to: IdleSignal | None = None,
        patience_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        new_backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._client = client
        self._slots = asyncio.Semaphore(in_flight)
        self._may_write = may_write
        self._disturbs = disturbs
        self._yields_to = yields_to
        self._patience_s = patience_s
        self._clock = clock
        self._sleep = sleep
        self._new_backoff = new_backoff
        self.in_flight = 0
        """Writes that are with the API server now."""

    async def create(
        self,
        resource: Resource,
        namespace: str,
        body: bytes,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
        deadline: float = FOREVER,
    ) -> Response:
        """Create an object.

        Args:
            resource: its kind.
            namespace: where.
            body: the object as JSON.
            query: parameters, such as `dryRun`.
            accept: `METADATA` for a short reply.
            deadline: on the writer's clock, seconds: no try begins after it.

        Raises:
            ApiError: refused for good, or still refused at the deadline.
            ApiUnreachableError: no answer at the deadline.
            NotLeaderError: `may_write` says no.
        """

        async def send() -> Response:
            return await self._client.request("POST", resource.path(namespace), query=query, body=body, accept=accept)

        # A Conflict on create is quota accounting that lost a race, not an object of that name.
        return await self._write(send, deadline, lambda error: is_transient(error) or is_conflict(error))

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: bytes,
        *,
        content_type: str = JSON_PATCH,
        subresource: str = "",
        accept: str = METADATA,
        query: Mapping[str, str] | None = None,
        deadline: float = FOREVER,
    ) -> Response:
        """Patch an object.

        A JSON Patch whose answer got lost is sent again: begin it with a `test` if that matters.

        Args:
            resource: its kind.
            namespace: where.
            name: which.
            body: the patch as JSON.
            content_type: `JSON_PATCH` or `MERGE_PATCH`.
            subresource: such as `status`.
            accept: `JSON` to get the whole object back.
            query: parameters of the URL.
            deadline: on the writer's clock, seconds: no try begins after it.

        Raises:
            ApiError: refused for good (a conflict too), or still refused at the deadline.
            ApiUnreachableError: no answer at the deadline.
            NotLeaderError: `may_write` says no.
        """
        path = resource.path(namespace, name, subresource)

        async def send() -> Response:
            return await self._client.request(
                "PATCH", path, query=query, body=body, content_type=content_type, accept=accept
            )

        return await self._write(send, deadline, is_transient)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        uid: str,
        *,
        resource_version: str | None = None,
        grace_s: int | None = None,
        propagation: str | None = None,
        deadline: float = FOREVER,
    ) -> Response:
        """Delete an object, but only the one of that uid.

        Args:
            resource: its kind.
            namespace: where.
            name: which.
            uid: of the object that is meant; one of the same name with another uid is left alone (Conflict).
            resource_version: of the object as it was read; one that has changed since is left alone (Conflict).
            grace_s: time for its processes to end, seconds; None: what the object says.
            propagation: what becomes of what belongs to it, such as `Background`; None: what its kind says.
            deadline: on the writer's clock, seconds: no try begins after it.

        Raises:
            ApiError: refused for good (not there, another uid), or still refused at the deadline.
            ApiUnreachableError: no answer at the deadline.
            NotLeaderError: `may_write` says no.
        """
        preconditions = {"uid": uid}
        if resource_version is not None:
            preconditions["resourceVersion"] = resource_version
        options: dict[str, object] = {"preconditions": preconditions}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if propagation is not None:
            options["propagationPolicy"] = propagation
        body = msgspec.json.encode(options)
        path = resource.path(namespace, name)

        async def send() -> Response:
            return await self._client.request("DELETE", path, body=body, accept=METADATA)

        return await self._write(send, deadline, is_transient)

    async def _write(
        self, send: Callable[[], Awaitable[Response]], deadline: float, may_pass: Callable[[ApiError], bool]
    ) -> Response:
        backoff, patient_until = self._new_backoff(), self._clock() + self._patience_s
        while True:
            try:
                return await self._send_once(send, patient_until)
            except ApiError as error:
                if not may_pass(error):
                    raise
                pause_s = backoff.next_s(error.retry_after_s)
                if self._clock() + pause_s > deadline:
                    raise
                reason = str(error)
            except ApiUnreachableError as error:
                pause_s = backoff.next_s()
                if self._clock() + pause_s > deadline:
                    raise
                reason = str(error)
            logger.debug("A write is tried again in %.1f s: %s", pause_s, reason)
            await self._sleep(pause_s)

    async def _send_once(self, send: Callable[[], Awaitable[Response]], patient_until: float) -> Response:
        # The place is given back during a pause, or a few refused writes would hold up all others.
        with self._disturbs.disturbed() if self._disturbs else contextlib.nullcontext():
            async with self._slots:
                if self._yields_to is not None:
                    await self._yields_to.wait(patient_until - self._clock())
                if not self._may_write():
                    raise NotLeaderError("this process does not hold the Lease: nothing is written")
                self.in_flight += 1
                try:
                    return await send()
                finally:
                    self.in_flight -= 1
