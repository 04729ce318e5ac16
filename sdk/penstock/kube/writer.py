"""Writes to the API server: by priority, bounded, retried, and only by the leader."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

import msgspec

from penstock.kube.backoff import Backoff
from penstock.kube.client import JSON, JSON_PATCH, METADATA, ApiClient, Response
from penstock.kube.errors import ApiError, ApiUnreachableError, NotLeaderError, is_conflict, is_transient
from penstock.kube.fair_slots import FairSlots
from penstock.kube.idle import IdleSignal
from penstock.kube.resources import Resource

logger = logging.getLogger(__name__)

FOREVER: Final = float("inf")


class Priority(Enum):
    """What a write is for, which decides what it waits for: see `RULES`."""

    STATUS = auto()
    """Stores what was decided about a run."""
    WORK = auto()
    """What runs wait for: creates and deletes Pods, Jobs and runs, stores revisions."""
    CACHE = auto()
    """Entries of the cache of outputs."""
    REMOVAL = auto()
    """Deletes what has been kept long enough."""
    FINALIZER = auto()
    """Removes the finalizer from a Pod that has finished."""
    EVENT = auto()
    """Records a Kubernetes Event."""
    OWNER = auto()
    """Changes who owns a run that exists: thousands, when an operator is upgraded."""


class Rule(NamedTuple):
    """How the writes of one priority are sent."""

    in_flight: int
    """Writes at the same time; more wait their turn, each namespace's in order. Each priority has its own places."""
    is_foreground: bool = False
    """Background writes wait while one of these is in progress."""
    longest_wait_s: float = 0.0
    """A background write waits so long at most; 0: it is not a background write."""
    most_pending: int | None = None
    """With so many in progress, more of them are sent as WORK: otherwise both would only grow."""


RULES: Final[Mapping[Priority, Rule]] = {
    # A status does not queue behind a thousand creates.
    Priority.STATUS: Rule(in_flight=16, is_foreground=True),
    # With more, those of one namespace fill the API server's own queue, and another's next write waits behind them.
    Priority.WORK: Rule(in_flight=16, is_foreground=True),
    Priority.CACHE: Rule(in_flight=16),
    Priority.REMOVAL: Rule(in_flight=4),
    # A create does not queue behind the finalizers of a thousand Pods. Nothing waits for one, unless a person deletes
    # the Pod: its deletion may take this long. Whatever begins meanwhile waits for no more than these 8.
    Priority.FINALIZER: Rule(in_flight=8, longest_wait_s=30.0, most_pending=5000),
    # An Event has the time when it was recorded, whenever it is written.
    Priority.EVENT: Rule(in_flight=4, longest_wait_s=15.0),
    # With work all the time, two a second.
    Priority.OWNER: Rule(in_flight=2, longest_wait_s=1.0),
}


class _Pool:
    """The places of one priority."""

    def __init__(self, rule: Rule, in_flight: int, *, leaves_places: bool) -> None:
        self.rule = rule
        self.slots = FairSlots(in_flight, leaves_places=leaves_places)
        self.pending = 0
        """Writes that were asked for and have not ended, pauses included."""


class Writer:
    """Creates, patches and deletes objects.

    A refusal that may pass (429, 5xx, no answer, a conflict on create) is tried again, after the pause that the API
    server asks for and a growing, jittered one of our own, until the deadline. Anything else is raised immediately. A
    write without an answer may have been carried out: a create that is tried again may say AlreadyExists.

    Args:
        client: the way to the API server.
        may_write: asked right before each send, and again when there is a connection.
        work_in_flight: in place of what `RULES` says about WORK.
        leaves_places: whether each namespace leaves places to others: a webhook that takes ten seconds for each of its
            writes would hold up everybody.
        clock: monotonic seconds.
        sleep: waits for a number of seconds.
        new_backoff: makes the pauses of one write.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        may_write: Callable[[], bool],
        work_in_flight: int = RULES[Priority.WORK].in_flight,
        leaves_places: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        new_backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._client = client
        self._may_write = may_write
        self._clock = clock
        self._sleep = sleep
        self._new_backoff = new_backoff
        in_flight = {priority: rule.in_flight for priority, rule in RULES.items()} | {Priority.WORK: work_in_flight}
        self._pools = {
            priority: _Pool(rule, in_flight[priority], leaves_places=leaves_places) for priority, rule in RULES.items()
        }
        self._foreground = IdleSignal()
        """Busy while a foreground write is in progress. One that was refused and pauses does not count: it may do so
        for hours."""
        self.in_flight = 0
        """Writes that are with the API server now."""

    def expect_writes(self) -> None:
        """Have background writes wait a moment: something has happened that foreground writes follow from."""
        self._foreground.touch()

    async def create(
        self,
        resource: Resource,
        namespace: str,
        body: bytes | Callable[[], bytes],
        *,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
        deadline: float = FOREVER,
        priority: Priority = Priority.WORK,
    ) -> Response:
        """Create an object.

        Args:
            resource: its kind.
            namespace: where.
            body: the object as JSON, or what builds it when it is sent: what it raises is raised here.
            query: parameters, such as `dryRun`.
            accept: `METADATA` for a short reply.
            deadline: on the writer's clock, seconds: no try begins after it.
            priority: what the write is for.

        Raises:
            ApiError: refused permanently, or still refused at the deadline.
            ApiUnreachableError: no answer at the deadline.
            NotLeaderError: `may_write` says no.
        """

        async def send() -> Response:
            content = body() if callable(body) else body
            return await self._client.request(
                "POST", resource.path(namespace), query=query, body=content, accept=accept, may_send=self._may_write
            )

        # A Conflict on create is quota accounting that lost a race, not an object of that name.
        return await self._write(
            send, namespace, priority, deadline, lambda error: is_transient(error) or is_conflict(error)
        )

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
        priority: Priority = Priority.WORK,
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
            priority: what the write is for.

        Raises:
            ApiError: refused permanently (a conflict too), or still refused at the deadline.
            ApiUnreachableError: no answer at the deadline.
            NotLeaderError: `may_write` says no.
        """
        path = resource.path(namespace, name, subresource)

        async def send() -> Response:
            return await self._client.request(
                "PATCH",
                path,
                query=query,
                body=body,
                content_type=content_type,
                accept=accept,
                may_send=self._may_write,
            )

        return await self._write(send, namespace, priority, deadline, is_transient)

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
        priority: Priority = Priority.WORK,
    ) -> Response:
        """Delete an object, but only the one of that uid.

        Args:
            resource: its kind.
            namespace: where.
            name: which.
            uid: of the object that is meant; one of the same name with another uid is not touched (Conflict).
            resource_version: of the object as it was read; one that has changed since is not touched (Conflict).
            grace_s: time for its processes to end, seconds; None: what the object says.
            propagation: what happens to the objects that it owns, such as `Background`; None: what its kind says.
            deadline: on the writer's clock, seconds: no try begins after it.
            priority: what the write is for.

        Raises:
            ApiError: refused permanently (not there, another uid), or still refused at the deadline.
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
            return await self._client.request("DELETE", path, body=body, accept=METADATA, may_send=self._may_write)

        return await self._write(send, namespace, priority, deadline, is_transient)

    async def _write(
        self,
        send: Callable[[], Awaitable[Response]],
        namespace: str,
        priority: Priority,
        deadline: float,
        may_pass: Callable[[ApiError], bool],
    ) -> Response:
        asked = pool = self._pools[priority]
        if asked.rule.most_pending is not None and asked.pending >= asked.rule.most_pending:
            pool = self._pools[Priority.WORK]
        asked.pending += 1
        try:
            return await self._send_until(deadline, send, namespace, pool, may_pass)
        finally:
            asked.pending -= 1

    async def _send_until(
        self,
        deadline: float,
        send: Callable[[], Awaitable[Response]],
        namespace: str,
        pool: _Pool,
        may_pass: Callable[[ApiError], bool],
    ) -> Response:
        backoff, waits_until = self._new_backoff(), self._clock() + pool.rule.longest_wait_s
        while True:
            try:
                return await self._send_until_answered(deadline, send, namespace, pool, waits_until, backoff)
            except ApiError as error:
                if not may_pass(error):
                    raise
                await self._pause(error, backoff.next_s(error.retry_after_s), deadline)

    async def _pause(self, error: ApiError | ApiUnreachableError, pause_s: float, deadline: float) -> None:
        if self._clock() + pause_s > deadline:
            raise error
        logger.debug("Retrying a write in %.1f s: %s", pause_s, error)
        await self._sleep(pause_s)

    async def _send_until_answered(
        self,
        deadline: float,
        send: Callable[[], Awaitable[Response]],
        namespace: str,
        pool: _Pool,
        waits_until: float,
        backoff: Backoff,
    ) -> Response:
        # The place is given back before the pause after a refusal, or a few refused writes would hold up all others. It
        # is kept without an answer: whatever came next would get none either, and thousands would try each second.
        with self._foreground.busy() if pool.rule.is_foreground else contextlib.nullcontext():
            async with pool.slots.hold(namespace):
                if pool.rule.longest_wait_s:
                    await self._foreground.wait(waits_until - self._clock())
                while True:
                    try:
                        return await self._send_once(send)
                    except ApiUnreachableError as error:
                        await self._pause(error, backoff.next_unanswered_s(), deadline)

    async def _send_once(self, send: Callable[[], Awaitable[Response]]) -> Response:
        if not self._may_write():
            raise NotLeaderError("this process does not hold the Lease; it must not write")
        self.in_flight += 1
        try:
            return await send()
        finally:
            self.in_flight -= 1
