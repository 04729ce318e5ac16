"""Webhooks of Schedules: signed POSTs that create runs. Every replica serves them, and none needs what another knows.

The name of a delivery's run follows from the delivery's id, so a repeated delivery finds the run and answers with it.
An unauthenticated caller gets no information: every problem before the signature is verified has the same answer and
costs the same reads.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from penstock.api.event import WebhookEvent
from penstock.api.schedule import ScheduleSpec
from penstock.engine.expressions.input_values import MAX_DEPTH
from penstock.engine.timestamp import rfc3339
from penstock.engine.triggers.trigger import compile_trigger, webhook_event
from penstock.engine.triggers.webhook_signature import (
    TOLERANCE_S,
    Headers,
    SecretError,
    is_signed,
    read_headers,
    read_secrets,
)
from penstock.engine.validation.validation import parse_schedule
from penstock.errors import ExpressionError, InvalidSpecError, PenstockError
from penstock.kube.client import MERGE_PATCH, METADATA, ApiClient
from penstock.kube.errors import ApiError, ApiUnreachableError
from penstock.kube.kinds.schedule import Schedule
from penstock.kube.resources import SCHEDULES, SECRETS
from penstock.kube.writer import Writer
from penstock_operator.runtime.bounded import BoundedMap, BoundedSet
from penstock_operator.runtime.http_listener import CONNECTION
from penstock_operator.runtime.recorder import EventRecorder, Regarding
from penstock_operator.triggers.run import EventId, EventRefusedError, create_event_run

logger = logging.getLogger(__name__)

PATH: Final = "/events/{namespace}/{schedule}/{event}"
MAX_BODY_BYTES: Final = 256 * 1024
"""The body becomes params of a run, and etcd accepts little more."""
CREATE_S: Final = 10.0
"""How long the creation of a run is retried; senders wait 15 to 30 seconds for an answer."""
IN_FLIGHT: Final = 32
"""Genuine deliveries handled concurrently; if there are more, they are answered with 503."""
VERIFIED_AT_ONCE: Final = 16
"""Signatures verified concurrently; each costs the API server two reads, and anyone can ask for it."""
QUEUE_S: Final = 5.0
"""Longest wait of a delivery for its verification."""
RETRY_AFTER_S: Final = "5"
REMEMBERED: Final = 10_000
REMEMBERED_S: Final = 2 * TOLERANCE_S
"""How long a delivery could be replayed: its timestamp may be as far ahead of our clock as behind it."""
_NAME: Final = re.compile("[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?")
"""Of an object: what a client sends becomes part of a URL."""
NO_SECRET: Final = "penstock-webhook"  # noqa: S105 - a Secret's name
"""Read in place of the Secret of a Schedule that does not exist."""


class _Target(NamedTuple):
    """What a delivery is for."""

    schedule: Schedule
    spec: ScheduleSpec
    position: int
    webhook: WebhookEvent

    @property
    def trigger(self) -> str:
        """Name of the trigger in the Schedule."""
        return (self.spec.events or [])[self.position].name


class _Secret(msgspec.Struct):
    data: dict[str, str] = {}


class _RefusalError(PenstockError):
    """A delivery that is refused.

    Args:
        status: of the answer.
        message: for the sender.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)

    def answer(self) -> web.Response:
        """Return the answer."""
        response = _answer(self.status, error=self.message)
        if self.status is HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = RETRY_AFTER_S
        return response


_UNAUTHORIZED: Final = _RefusalError(HTTPStatus.UNAUTHORIZED, "invalid signature")
_BUSY: Final = _RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, "temporarily unavailable: try again")


class WebhookReceiver:
    """Receives deliveries.

    Args:
        client: for reads.
        writer: for writes; it works on every replica, not only on the leader.
        recorder: for Events.
        namespaces: those that are watched; a single empty one for all.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        recorder: EventRecorder,
        *,
        namespaces: Sequence[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._writer = writer
        self._recorder = recorder
        self._namespaces = namespaces
        self._clock = clock
        self._verifications = asyncio.Semaphore(VERIFIED_AT_ONCE)
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._handling: set[asyncio.Task[web.Response]] = set()
        self._unknown_secret = secrets.token_bytes(32)
        self._created: BoundedMap[tuple[str, str, str], tuple[float, str]] = BoundedMap(REMEMBERED)
        self._reported: BoundedSet[tuple[str, str]] = BoundedSet(REMEMBERED)
        """Problems that are stored, by uid of the Schedule."""

    def app(self) -> web.Application:
        """Return the application that serves webhooks."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(PATH, self.receive)
        return app

    async def receive(self, request: web.Request) -> web.Response:
        """Answer a delivery."""
        try:
            headers = read_headers({name.lower(): value for name, value in request.headers.items()}, self._clock())
            if headers is None or not all(map(_NAME.fullmatch, request.match_info.values())):
                raise _UNAUTHORIZED
            # Nothing that is shared is taken for a client that sends slowly, or has no secret.
            content = await _read_body(request)
            target = await self._verify(request.match_info, headers, content)
            request[CONNECTION].trust()
            if self._slots.locked():
                raise _BUSY
            await self._slots.acquire()
            # A sender that hangs up ends this request, but not what was begun for it.
            handling = asyncio.create_task(self._handle_delivery(target, headers, content))
            self._handling.add(handling)
            handling.add_done_callback(self._on_handled)
            return await asyncio.shield(handling)
        except _RefusalError as refusal:
            return refusal.answer()
        except (ApiError, ApiUnreachableError) as error:
            place = f"{request.match_info['namespace']}/{request.match_info['schedule']}"
            # Quoted: any client can send these names, line breaks included.
            logger.warning(
                "Failed to handle a webhook delivery for Schedule %r; answered %d: %s", place, _BUSY.status, error
            )
            return _BUSY.answer()

    async def _verify(self, place: Mapping[str, str], headers: Headers, content: bytes) -> _Target:
        try:
            async with asyncio.timeout(QUEUE_S):
                await self._verifications.acquire()
        except TimeoutError:
            raise _BUSY from None
        try:
            target = await self._find_target(place)
            keys = await self._read_keys(place["namespace"], target)
        finally:
            self._verifications.release()
        is_valid = is_signed(headers, content, keys or [self._unknown_secret])
        if target is None or not keys or not is_valid:
            raise _UNAUTHORIZED
        return target

    def _on_handled(self, handling: asyncio.Task[web.Response]) -> None:
        self._slots.release()
        self._handling.discard(handling)
        if not handling.cancelled():
            # Nothing else takes its error when the sender has hung up.
            handling.exception()

    async def _handle_delivery(self, target: _Target, headers: Headers, content: bytes) -> web.Response:
        body = _read_json(content)
        if target.spec.suspend:
            return _answer(HTTPStatus.OK, run=None, ignored="the Schedule is suspended")
        key = (target.schedule.metadata.uid, target.trigger, headers.id)
        run = self._recent_run(key)
        if run is None:
            try:
                run = await self._create_run(target, headers, body)
            except (ExpressionError, InvalidSpecError, EventRefusedError) as error:
                await self._store_problem(target, str(error))
                raise _RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
            await self._store_success(target, run)
        if run is None:
            return _answer(HTTPStatus.OK, run=None, ignored="when is false")
        self._created.setdefault(key, (self._clock(), run))
        return _answer(HTTPStatus.ACCEPTED, run=run)

    async def _create_run(self, target: _Target, headers: Headers, body: Any) -> str | None:
        """Create the run of a delivery; None if `when` is false."""
        event = webhook_event(target.trigger, headers.id, rfc3339(headers.timestamp), body)
        compiled = compile_trigger(target.spec, target.position)
        params = await asyncio.to_thread(compiled.evaluate, event)
        if params is None:
            return None
        return await create_event_run(
            self._client,
            self._writer,
            schedule=target.schedule.metadata,
            spec=target.spec,
            event=EventId(target.trigger, headers.id),
            params=params,
            deadline=time.monotonic() + CREATE_S,
        )

    # Reads, the same for every delivery

    async def _find_target(self, place: Mapping[str, str]) -> _Target | None:
        namespace = place["namespace"]
        if not self._is_watched(namespace):
            return None
        try:
            schedule = await self._client.get(SCHEDULES, namespace, place["schedule"], kind=Schedule)
            if schedule is None or schedule.metadata.deletion_timestamp is not None:
                return None
            spec = parse_schedule({"spec": schedule.spec})
        except (InvalidSpecError, msgspec.ValidationError):
            return None
        for index, trigger in enumerate(spec.events or ()):
            if trigger.name == place["event"] and trigger.webhook is not None:
                return _Target(schedule, spec, index, trigger.webhook)
        return None

    def _is_watched(self, namespace: str) -> bool:
        return namespace in self._namespaces or not self._namespaces[0]

    async def _read_keys(self, namespace: str, target: _Target | None) -> list[bytes]:
        """Read the signing secrets; none if none is valid."""
        name = target.webhook.secret_ref.name if target is not None else NO_SECRET
        try:
            secret = await self._client.get(
                SECRETS, namespace if self._is_watched(namespace) else self._namespaces[0], name, kind=_Secret
            )
        except ApiError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            problem = f"the operator is not allowed to read Secret {name}: add it to events.webhook.secretNames"
            await self._store_problem(target, problem)
            return []
        if target is None:
            return []
        key = target.webhook.secret_ref.key
        if secret is None or key not in secret.data:
            problem = f"Secret {name} not found" if secret is None else f"Secret {name} has no key {key}"
            await self._store_problem(target, problem)
            return []
        try:
            return read_secrets(b64decode(secret.data[key]).decode())
        except (SecretError, UnicodeDecodeError) as error:
            why = str(error) if isinstance(error, SecretError) else "it is not UTF-8 text"
            await self._store_problem(target, f"key {key} of Secret {name} is invalid: {why}")
            return []

    def _recent_run(self, key: tuple[str, str, str]) -> str | None:
        """Return the run of a recent delivery, even if the run was deleted since."""
        now = self._clock()
        while self._created and next(iter(self._created.values()))[0] < now - REMEMBERED_S:
            self._created.popitem(last=False)
        found = self._created.get(key)
        return None if found is None else found[1]

    # The status

    async def _store_problem(self, target: _Target | None, problem: str) -> None:
        """Store in the Schedule why a delivery created no run, once for each problem."""
        if target is None:
            return
        metadata = target.schedule.metadata
        reported = (metadata.uid, f"{target.trigger} {problem}")
        if reported in self._reported:
            return
        self._reported.add(reported)
        regarding = Regarding("Schedule", metadata.namespace, metadata.name, metadata.uid)
        note = f"Event {target.trigger}: {problem}"
        self._recorder.record(regarding, is_warning=True, reason="EventFailed", note=note)
        await self._store(target, {"problem": problem})

    async def _store_success(self, target: _Target, run: str | None) -> None:
        stored = target.schedule.status.events.get(target.trigger)
        changes: dict[str, Any] = {}
        if stored is not None and stored.problem is not None:
            changes["problem"] = None
            self._reported = BoundedSet(REMEMBERED)
        if run is not None:
            changes |= {"lastRun": run, "lastTime": rfc3339(int(self._clock()))}
        if changes:
            await self._store(target, changes)

    async def _store(self, target: _Target, changes: Mapping[str, Any]) -> None:
        metadata = target.schedule.metadata
        patch = {"metadata": {"uid": metadata.uid}, "status": {"events": {target.trigger: changes}}}
        try:
            await self._writer.patch(
                SCHEDULES,
                metadata.namespace,
                metadata.name,
                msgspec.json.encode(patch),
                content_type=MERGE_PATCH,
                subresource="status",
                accept=METADATA,
                deadline=time.monotonic() + CREATE_S,
            )
        except (ApiError, ApiUnreachableError) as error:
            # It is for people only: the answer to the delivery does not depend on it.
            logger.warning("Cannot store the status of Schedule %s: %s", metadata.key, error)


async def _read_body(request: web.Request) -> bytes:
    too_large = _RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY_BYTES} bytes")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise too_large
    try:
        return await request[CONNECTION].read_body()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large from error
    except web.HTTPRequestTimeout as error:
        raise _RefusalError(HTTPStatus.REQUEST_TIMEOUT, "timed out reading the body") from error


def _read_json(content: bytes) -> Any:
    try:
        body = msgspec.json.decode(content)
    except (ValueError, RecursionError) as error:
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "the body is not valid JSON") from error
    if _is_deeper(body, MAX_DEPTH):
        raise _RefusalError(HTTPStatus.BAD_REQUEST, f"the body is nested deeper than {MAX_DEPTH} levels")
    return body


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, list | dict):
        return False
    if levels == 0:
        return True
    return any(_is_deeper(one, levels - 1) for one in (value.values() if isinstance(value, dict) else value))


def _answer(status: HTTPStatus, **body: Any) -> web.Response:
    return web.json_response(body, status=status)
