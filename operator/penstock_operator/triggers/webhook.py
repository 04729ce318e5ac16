"""Webhooks of Schedules: signed POSTs that make runs. Every replica serves them; none remembers what another must know.

A delivery's run has a name that follows from the delivery's id, so a repeated one finds the run and answers with it.
Who is not authenticated learns nothing: whatever is wrong before the signature is verified has the same answer, and
costs the same reads.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from penstock.api.event import WebhookEvent
from penstock.api.schedule import ScheduleSpec
from penstock.engine.expressions.cel import MAX_DEPTH
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
from penstock.kube.errors import ApiError, ApiUnreachableError, is_not_found
from penstock.kube.resources import SCHEDULES, SECRETS, Resource
from penstock.kube.writer import Writer
from penstock_operator.runtime.recorder import EventRecorder, Regarding
from penstock_operator.triggers.run import EventId, EventRefusedError, create_event_run

logger = logging.getLogger(__name__)

PATH: Final = "/events/{namespace}/{schedule}/{event}"
MAX_BODY_BYTES: Final = 256 * 1024
"""The body goes into the params of a run, of which etcd takes little more."""
READ_S: Final = 10.0
"""Longest time for a body to arrive."""
CREATE_S: Final = 10.0
"""Longest time to try to create a run; senders wait 15 to 30 seconds for an answer."""
IN_FLIGHT: Final = 32
"""Deliveries looked at together; each costs the API server two reads before it is known to be genuine."""
RETRY_AFTER_S: Final = "5"
REMEMBERED: Final = 10_000
REMEMBERED_S: Final = 2 * TOLERANCE_S
"""How long a delivery could be replayed: its timestamp may be as far ahead of our clock as behind it."""
NO_SECRET: Final = "penstock-webhook"  # noqa: S105 - a Secret's name
"""Read in place of the Secret of a Schedule that does not exist."""


class _Target(NamedTuple):
    """What a delivery is for."""

    body: Mapping[str, Any]
    spec: ScheduleSpec
    position: int
    webhook: WebhookEvent

    @property
    def trigger(self) -> str:
        """Name of the event in the Schedule."""
        return (self.spec.events or [])[self.position].name


class _RefusalError(PenstockError):
    """A delivery that is not taken.

    Args:
        status: of the answer.
        message: what the sender is told.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)

    def answer(self) -> web.Response:
        """Make the answer."""
        response = _answer(self.status, error=self.message)
        if self.status is HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = RETRY_AFTER_S
        return response


_UNAUTHORIZED: Final = _RefusalError(HTTPStatus.UNAUTHORIZED, "the delivery is not signed as this address wants it")
_BUSY: Final = _RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, "not now: try again")


class WebhookReceiver:
    """Takes deliveries.

    Args:
        client: for reads.
        writer: for writes; that of a replica that need not lead.
        recorder: for Events.
        namespace: the one that is watched; empty for all.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        recorder: EventRecorder,
        *,
        namespace: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._writer = writer
        self._recorder = recorder
        self._namespace = namespace
        self._clock = clock
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._nobodys_secret = secrets.token_bytes(32)
        self._made: OrderedDict[tuple[str, str, str], tuple[float, str]] = OrderedDict()
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()

    def app(self) -> web.Application:
        """Make the application that serves them."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(PATH, self.receive)
        return app

    async def receive(self, request: web.Request) -> web.Response:
        """Answer a delivery."""
        try:
            headers = read_headers({name.lower(): value for name, value in request.headers.items()}, self._clock())
            if headers is None:
                raise _UNAUTHORIZED
            if self._slots.locked():
                raise _BUSY
            async with self._slots:
                return await self._take(request.match_info, headers, await _read_body(request))
        except _RefusalError as refusal:
            return refusal.answer()
        except (ApiError, ApiUnreachableError) as error:
            logger.warning("A delivery could not be taken: %s", error)
            return _BUSY.answer()

    async def _take(self, place: Mapping[str, str], headers: Headers, content: bytes) -> web.Response:
        target = await self._find(place)
        keys = await self._read_keys(place["namespace"], target)
        genuine = is_signed(headers, content, keys or [self._nobodys_secret])
        if target is None or not keys or not genuine:
            raise _UNAUTHORIZED
        body = _read_json(content)
        if target.spec.suspend:
            return _answer(HTTPStatus.OK, run=None, ignored="the Schedule is suspended")
        key = (target.body["metadata"]["uid"], target.trigger, headers.id)
        made = self._remembered(key)
        if made is None:
            try:
                made = await self._make(target, headers, body)
            except (ExpressionError, InvalidSpecError, EventRefusedError) as error:
                await self._tell_problem(target, str(error))
                raise _RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
            await self._tell_success(target, made)
        if made is None:
            return _answer(HTTPStatus.OK, run=None, ignored="when is false")
        self._made.setdefault(key, (self._clock(), made))
        return _answer(HTTPStatus.ACCEPTED, run=made)

    async def _make(self, target: _Target, headers: Headers, body: Any) -> str | None:
        """Make the run of a delivery; None if it is not wanted."""
        event = webhook_event(target.trigger, headers.id, rfc3339(headers.timestamp), body)
        compiled = compile_trigger(target.spec, target.position)
        params = await asyncio.to_thread(compiled.evaluate, event)
        if params is None:
            return None
        return await create_event_run(
            self._client,
            self._writer,
            body=target.body,
            spec=target.spec,
            event=EventId(target.trigger, headers.id),
            params=params,
            deadline=time.monotonic() + CREATE_S,
        )

    # What is read, the same for whatever comes

    async def _find(self, place: Mapping[str, str]) -> _Target | None:
        namespace = place["namespace"]
        if self._namespace and namespace != self._namespace:
            return None
        body = await self._read(SCHEDULES, namespace, place["schedule"])
        if body is None or "deletionTimestamp" in body["metadata"]:
            return None
        try:
            spec = parse_schedule(body)
        except InvalidSpecError:
            return None
        for index, trigger in enumerate(spec.events or ()):
            if trigger.name == place["event"] and trigger.webhook is not None:
                return _Target(body, spec, index, trigger.webhook)
        return None

    async def _read_keys(self, namespace: str, target: _Target | None) -> list[bytes]:
        """Read the signing secrets; none if there are none that can be used."""
        name = target.webhook.secret_ref.name if target is not None else NO_SECRET
        try:
            secret = await self._read(SECRETS, self._namespace or namespace, name)
        except ApiError as error:
            if error.status != HTTPStatus.FORBIDDEN:
                raise
            await self._tell_problem(
                target, f"the operator may not read Secret {name}: the installer decides which names it may"
            )
            return []
        if target is None:
            return []
        key = target.webhook.secret_ref.key
        data = (secret or {}).get("data") or {}
        if key not in data:
            what = f"Secret {name} has no key {key}" if secret is not None else f"there is no Secret {name}"
            await self._tell_problem(target, what)
            return []
        try:
            return read_secrets(b64decode(data[key]).decode())
        except (SecretError, UnicodeDecodeError) as error:
            why = str(error) if isinstance(error, SecretError) else "it is no text"
            await self._tell_problem(target, f"key {key} of Secret {name} can't be used: {why}")
            return []

    async def _read(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        try:
            reply = await self._client.request("GET", resource.path(namespace, name))
        except ApiError as error:
            if is_not_found(error):
                return None
            raise
        return msgspec.json.decode(reply.body, type=dict[str, Any])

    # What was made

    def _remembered(self, key: tuple[str, str, str]) -> str | None:
        """Return the run of a delivery that came a short while ago, even if the run was deleted since."""
        now = self._clock()
        while self._made and (len(self._made) > REMEMBERED or next(iter(self._made.values()))[0] < now - REMEMBERED_S):
            self._made.popitem(last=False)
        found = self._made.get(key)
        return None if found is None else found[1]

    # What people see

    async def _tell_problem(self, target: _Target | None, problem: str) -> None:
        """Say under the Schedule why a delivery made no run, once for each problem."""
        if target is None:
            return
        metadata = target.body["metadata"]
        told = (metadata["uid"], f"{target.trigger} {problem}")
        if told in self._told:
            return
        self._told[told] = None
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        regarding = Regarding("Schedule", metadata["namespace"], metadata["name"], metadata["uid"])
        note = f"Event {target.trigger}: {problem}"
        self._recorder.record(regarding, is_warning=True, reason="EventFailed", note=note)
        await self._store(target, {"problem": problem})

    async def _tell_success(self, target: _Target, run: str | None) -> None:
        stored = ((target.body.get("status") or {}).get("events") or {}).get(target.trigger) or {}
        told: dict[str, Any] = {"problem": None} if "problem" in stored else {}
        if told:
            self._told.clear()
        if run is not None:
            told |= {"lastRun": run, "lastTime": rfc3339(int(self._clock()))}
        if told:
            await self._store(target, told)

    async def _store(self, target: _Target, told: Mapping[str, Any]) -> None:
        metadata = target.body["metadata"]
        patch = {"metadata": {"uid": metadata["uid"]}, "status": {"events": {target.trigger: told}}}
        try:
            await self._writer.patch(
                SCHEDULES,
                metadata["namespace"],
                metadata["name"],
                msgspec.json.encode(patch),
                content_type=MERGE_PATCH,
                subresource="status",
                accept=METADATA,
                deadline=time.monotonic() + CREATE_S,
            )
        except (ApiError, ApiUnreachableError) as error:
            # For people only: the delivery's own answer does not hang on it.
            logger.warning("The status of Schedule %s could not be stored: %s", metadata["name"], error)


async def _read_body(request: web.Request) -> bytes:
    too_large = _RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {MAX_BODY_BYTES} bytes")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise too_large
    try:
        async with asyncio.timeout(READ_S):
            return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large from error
    except TimeoutError as error:
        raise _RefusalError(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time") from error


def _read_json(content: bytes) -> Any:
    try:
        body = msgspec.json.decode(content)
    except (ValueError, RecursionError) as error:
        raise _RefusalError(HTTPStatus.BAD_REQUEST, "the body is no JSON") from error
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
