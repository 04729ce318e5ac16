"""Events of Schedules that the leader listens for: ends of runs, and changes of objects.

What is heard is only a hint: it names a run or an object, which is then read. What was handled before is told by the
Schedule's status, and a run's name follows from its event. So neither a restart nor a repeated hint makes a second run,
and what happened while no operator ran is found by a list when the Schedule is first looked at.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from penstock.api import names
from penstock.api.event import EventTrigger, FlowRunEvent
from penstock.api.schedule import ScheduleSpec
from penstock.engine.event import (
    MAX_CHAIN,
    CompiledEvent,
    compile_event,
    covered_states,
    definition,
    flow_of,
    flow_run_event,
    resource_event,
)
from penstock.engine.objectkey import ObjectKey
from penstock.engine.seen import Seen
from penstock.engine.selector import selects
from penstock.engine.timestamp import epoch, rfc3339
from penstock.engine.validation import check_schedule, parse_schedule
from penstock.errors import ExpressionError, InvalidSpecError
from penstock_operator.client import ApiClient
from penstock_operator.conditions import condition
from penstock_operator.errors import ApiError, is_namespace_terminating, is_not_found
from penstock_operator.eventkinds import EventKind, EventKinds, not_allowed
from penstock_operator.eventrun import EventId, EventRefusedError, create_event_run
from penstock_operator.keyedcontroller import KeyedController
from penstock_operator.liverun import RunEnd
from penstock_operator.metadata import ObjectMeta, PartialObject
from penstock_operator.objectwatch import ObjectWatches
from penstock_operator.resource import FLOWRUNS

logger = logging.getLogger(__name__)

LISTENING: Final = "Listening"
PAGE_RUNS: Final = 500
SLACK_S: Final = 5.0
"""Clocks differ, and times are whole seconds: ends of the last seconds before a Schedule begins to listen are noted one
by one."""
AGAIN_S: Final = 30.0
"""When to try again to watch a kind that can't be listed."""


class _RunStatus(msgspec.Struct, frozen=True, rename="camel"):
    completion_time: str | None = None


class _Run(msgspec.Struct):
    metadata: ObjectMeta
    status: _RunStatus = _RunStatus()


class _ListMeta(msgspec.Struct):
    continue_token: str = msgspec.field(default="", name="continue")


class _RunPage(msgspec.Struct):
    metadata: _ListMeta
    items: list[_Run] | None = None


class _Heard(NamedTuple):
    """Something that may be an event."""

    event: str
    """Name of the event in the Schedule."""
    uid: str
    """Of the run or object."""
    key: ObjectKey
    version: int
    """Of an object; 0 for a run."""
    flow: str | None = None
    """Name of a run's Flow, if that is known."""


@dataclass(slots=True)
class _Listener:
    """Listens for one event of a Schedule.

    Attributes:
        trigger: what to listen for.
        compiled: its expressions.
        definition: a digest of what is listened for.
        stored: what the Schedule's status says of it, as far as we know.
        seen: ends of runs that are done with.
        version: changes of objects up to it are done with.
        is_armed: whether it listens.
        trouble: why it can't listen: a reason and a text.
        problem: why the last event made no run.
    """

    trigger: EventTrigger
    compiled: CompiledEvent
    definition: str
    stored: dict[str, Any]
    seen: Seen | None = None
    version: int | None = None
    is_armed: bool = False
    trouble: tuple[str, str] | None = None
    problem: str | None = None


@dataclass(slots=True)
class _Schedule:
    """A Schedule with events.

    Attributes:
        uid: its uid.
        generation: of the spec that the listeners are made of.
        spec: its spec.
        listeners: by the names of the events.
        heard: what was heard and not looked at yet.
    """

    uid: str
    generation: int
    spec: ScheduleSpec
    listeners: dict[str, _Listener]
    heard: dict[_Heard, None] = field(default_factory=dict)


class EventController(KeyedController):
    """Listens for the events of Schedules, and creates their runs.

    Args:
        client: for reads.
        kinds: where the objects of each allowed kind are.
        namespace: the one to watch; empty for all.
        has_webhooks: whether this installation takes webhooks.
        options: those of `KeyedController`.
    """

    def __init__(
        self, client: ApiClient, kinds: EventKinds, *, namespace: str, has_webhooks: bool, **options: Any
    ) -> None:
        super().__init__(**options)
        self._client = client
        self._kinds = kinds
        self._has_webhooks = has_webhooks
        self._schedules: dict[ObjectKey, _Schedule] = {}
        self._watches = ObjectWatches(
            client,
            kinds,
            namespace=namespace,
            on_object=self._on_object,
            on_synced=self._on_synced,
            fail=options["fail"],
        )

    async def close(self) -> None:
        """End all watches."""
        await self._watches.close()

    # What is heard

    def forget(self, key: ObjectKey) -> None:
        """Learn that a Schedule is gone."""
        if self._schedules.pop(key, None) is not None:
            self._watches.keep(self._watched_kinds())

    def on_run_end(self, end: RunEnd) -> None:
        """Take over that a run is over."""
        if end.state is None:
            return
        for key, schedule in self._schedules.items():
            if key.namespace != end.key.namespace:
                continue
            for name, listener in schedule.listeners.items():
                wanted = listener.trigger.flow_run
                if (
                    wanted is not None
                    and listener.is_armed
                    # A retry says by a label of which Flow it is: who reads it will see.
                    and end.flow in (wanted.flow, None)
                    and end.state in covered_states(wanted.states)
                ):
                    self._hear(key, _Heard(name, end.uid, ObjectKey(*end.key), 0, end.flow))

    def _on_object(self, kind: EventKind, item: PartialObject) -> None:
        for key, schedule in self._schedules.items():
            if key.namespace == item.metadata.namespace:
                for name, listener in schedule.listeners.items():
                    self._offer(key, name, listener, kind, item.metadata)

    def _offer(self, key: ObjectKey, name: str, listener: _Listener, kind: EventKind, metadata: ObjectMeta) -> None:
        wanted = listener.trigger.resource
        if wanted is None or listener.version is None or EventKind(wanted.api_version, wanted.kind) != kind:
            return
        version = int(metadata.resource_version)
        if version > listener.version and selects(wanted.selector, metadata.labels):
            self._hear(key, _Heard(name, metadata.uid, metadata.key, version))

    def _on_synced(self, kind: EventKind) -> None:
        for key, schedule in self._schedules.items():
            if any(_kind_of(listener) == kind for listener in schedule.listeners.values()):
                self.queue.add(key)

    def _hear(self, key: ObjectKey, heard: _Heard) -> None:
        schedule = self._schedules.get(key)
        if schedule is not None:
            schedule.heard[heard] = None
            self.queue.add(key)

    # One look

    async def look_at(self, key: ObjectKey, body: Mapping[str, Any]) -> None:
        """Listen for what a Schedule wants to hear, and create the runs of what was heard."""
        stored = (body.get("status") or {}).get("events") or {}
        schedule = self._read(key, body)
        if schedule is None:
            left = dict.fromkeys(stored)
            await self._store(key, body, left, None)
            return
        changed: dict[str, Any] = {name: None for name in stored if name not in schedule.listeners}
        for name, listener in schedule.listeners.items():
            await self._arm(key, body, name, listener, schedule.spec)
        try:
            await self._work_off(body, schedule)
        finally:
            for name, listener in schedule.listeners.items():
                if update := _update(listener, stored.get(name) or {}):
                    changed[name] = update
            await self._store(key, body, changed, schedule)

    def _read(self, key: ObjectKey, body: Mapping[str, Any]) -> _Schedule | None:
        """Read the Schedule's events; None if it has none, or none that can work."""
        metadata = body["metadata"]
        known = self._schedules.get(key)
        if known is not None and (known.uid, known.generation) == (metadata["uid"], metadata["generation"]):
            return known
        self.forget(key)
        if "deletionTimestamp" in metadata or not (body.get("spec") or {}).get("events"):
            return None
        try:
            spec = parse_schedule(body)
            if check_schedule(spec):
                return None
            listeners = {
                trigger.name: _Listener(
                    trigger,
                    compile_event(spec, index),
                    definition(trigger, is_suspended=bool(spec.suspend)),
                    dict(((body.get("status") or {}).get("events") or {}).get(trigger.name) or {}),
                )
                for index, trigger in enumerate(spec.events or ())
            }
        except InvalidSpecError:
            # Its own controller tells.
            return None
        if known is not None and known.uid == metadata["uid"]:
            for name, listener in listeners.items():
                # What was stored a moment ago may not have come back yet.
                if name in known.listeners:
                    listener.stored = known.listeners[name].stored | listener.stored
        schedule = self._schedules[key] = _Schedule(metadata["uid"], metadata["generation"], spec, listeners)
        self._watches.keep(self._watched_kinds())
        return schedule

    def _watched_kinds(self) -> set[EventKind]:
        kinds = (_kind_of(one) for schedule in self._schedules.values() for one in schedule.listeners.values())
        return {kind for kind in kinds if kind is not None}

    # Listening

    async def _arm(
        self, key: ObjectKey, body: Mapping[str, Any], name: str, listener: _Listener, spec: ScheduleSpec
    ) -> None:
        if listener.is_armed or spec.suspend:
            return
        if listener.trigger.flow_run is not None:
            await self._arm_for_runs(key, body, name, listener)
        elif listener.trigger.resource is not None:
            await self._arm_for_objects(key, name, listener)
        else:
            listener.is_armed = True
            if not self._has_webhooks:
                listener.trouble = (
                    "WebhooksOff",
                    "this installation takes no webhooks (events.webhook.enabled)",
                )

    async def _arm_for_runs(self, key: ObjectKey, body: Mapping[str, Any], name: str, listener: _Listener) -> None:
        wanted = listener.trigger.flow_run
        assert wanted is not None
        stored = listener.stored
        is_new = False
        if stored.get("definition") == listener.definition and "since" in stored:
            listener.seen = Seen.read(stored["since"], stored.get("seen") or ())
        elif not stored and body["metadata"]["generation"] == 1:
            # Containers tell their ends in whole seconds, and the API server its creations.
            listener.seen = Seen(epoch(body["metadata"]["creationTimestamp"]) - 1.0)
        else:
            listener.seen, is_new = Seen(self.clock() - SLACK_S), True
        # From here on hints count; what ended before is found by the list.
        listener.is_armed = True
        try:
            for run, time in await self._ended(key, wanted, listener.seen):
                if is_new:
                    listener.seen.add(run.uid, time)
                else:
                    self._hear(key, _Heard(name, run.uid, run.key, 0))
        except BaseException:
            listener.is_armed = False
            raise

    async def _ended(self, key: ObjectKey, wanted: FlowRunEvent, seen: Seen) -> list[tuple[ObjectMeta, float]]:
        """Find the runs that have ended and are not done with, and when each did."""
        found: dict[str, tuple[ObjectMeta, float]] = {}
        for state in sorted(covered_states(wanted.states)):
            by_field = {"fieldSelector": f"spec.flow.name={wanted.flow},status.state={state}"}
            by_label = {"labelSelector": f"{names.LABEL_FLOW}={wanted.flow}", "fieldSelector": f"status.state={state}"}
            for selectors in (by_field, by_label):
                async for run in self._runs(key.namespace, selectors):
                    ended = run.status.completion_time
                    if ended is not None and seen.is_new(run.metadata.uid, epoch(ended)):
                        found[run.metadata.uid] = (run.metadata, epoch(ended))
        return list(found.values())

    async def _runs(self, namespace: str, selectors: Mapping[str, str]) -> AsyncIterator[_Run]:
        token = ""
        while True:
            query = {**selectors, "limit": str(PAGE_RUNS), **({"continue": token} if token else {})}
            reply = await self._client.request("GET", FLOWRUNS.path(namespace), query=query)
            page = msgspec.json.decode(reply.body, type=_RunPage)
            for run in page.items or ():
                yield run
            token = page.metadata.continue_token
            if not token:
                return

    async def _arm_for_objects(self, key: ObjectKey, name: str, listener: _Listener) -> None:
        wanted = listener.trigger.resource
        assert wanted is not None
        kind = EventKind(wanted.api_version, wanted.kind)
        if kind not in self._kinds:
            listener.trouble = ("KindNotAllowed", not_allowed(wanted, self._kinds))
            return
        try:
            watch = await self._watches.open(kind)
        except ApiError as error:
            listener.trouble = ("CannotWatch", f"{kind} can't be listened to: {error.message or error}")
            self.queue.add_at(key, time.monotonic() + AGAIN_S)
            return
        if not watch.synced.is_set():
            listener.trouble = ("Starting", f"the objects of {kind} are being listed")
            return
        try:
            # Versions of one kind can be compared, by the value of their digits:
            # https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/5504-comparable-resource-version
            version = int(watch.version)
        except ValueError:
            listener.trouble = ("CannotWatch", f"the versions of {kind} can't be compared: {watch.version}")
            return
        listener.trouble = None
        stored = listener.stored
        if stored.get("definition") == listener.definition and "resourceVersion" in stored:
            version = int(stored["resourceVersion"])
        listener.version = version
        listener.is_armed = True
        for item in list(watch.objects.values()):
            if item.metadata.namespace == key.namespace:
                self._offer(key, name, listener, kind, item.metadata)

    # Events

    async def _work_off(self, body: Mapping[str, Any], schedule: _Schedule) -> None:
        """Look at what was heard, changes of objects in the order of their versions."""
        while schedule.heard:
            heard = min(schedule.heard, key=lambda one: one.version)
            listener = schedule.listeners[heard.event]
            try:
                if heard.version:
                    await self._take_object(body, schedule, listener, heard)
                else:
                    await self._take_run(body, schedule, listener, heard)
            except (ExpressionError, EventRefusedError) as error:
                listener.problem = str(error)
                note = f"Event {heard.event}: {error}"
                self.record(body, is_warning=True, reason="EventFailed", note=note)
            except ApiError as error:
                if not is_namespace_terminating(error):
                    raise
            schedule.heard.pop(heard, None)

    async def _take_run(self, body: Mapping[str, Any], schedule: _Schedule, listener: _Listener, heard: _Heard) -> None:
        run = await self._read_object(FLOWRUNS.path(heard.key.namespace, heard.key.name), heard.uid)
        seen, wanted = listener.seen, listener.trigger.flow_run
        if run is None or seen is None or wanted is None or (heard.flow or flow_of(run)) != wanted.flow:
            return
        metadata, ended = run["metadata"], (run.get("status") or {}).get("completionTime")
        if ended is None or not seen.is_new(heard.uid, epoch(ended)):
            return
        if (metadata.get("labels") or {}).get(names.LABEL_SCHEDULE) != body["metadata"]["name"]:
            try:
                await self._follow(body, schedule, listener, heard, run)
            except (ExpressionError, EventRefusedError):
                # Done with all the same: another try would fail as well.
                seen.add(heard.uid, epoch(ended))
                raise
            listener.problem = None
        seen.add(heard.uid, epoch(ended))

    async def _follow(
        self,
        body: Mapping[str, Any],
        schedule: _Schedule,
        listener: _Listener,
        heard: _Heard,
        run: Mapping[str, Any],
    ) -> None:
        """Create the run that follows from the end of another."""
        chain = _chain(run["metadata"].get("annotations") or {}) + 1
        if chain > MAX_CHAIN:
            raise EventRefusedError(
                f"run {heard.key.name} is the {MAX_CHAIN}th in a row that follows from the end of another: no further "
                "one is created, for Schedules may be waiting for each other"
            )
        params = await asyncio.to_thread(listener.compiled.evaluate, flow_run_event(heard.event, run))
        if params is not None:
            await self._create(body, schedule, listener, EventId(heard.event, heard.uid, chain), params)

    async def _take_object(
        self, body: Mapping[str, Any], schedule: _Schedule, listener: _Listener, heard: _Heard
    ) -> None:
        wanted = listener.trigger.resource
        if wanted is None or listener.version is None or heard.version <= listener.version:
            return
        resource = self._kinds[EventKind(wanted.api_version, wanted.kind)]
        found = await self._read_object(resource.path(heard.key.namespace, heard.key.name), heard.uid)
        if found is not None:
            found = {"apiVersion": wanted.api_version, "kind": wanted.kind, **found}
            identity = f"{heard.uid}/{found['metadata']['resourceVersion']}"
            event = resource_event(heard.event, found, rfc3339(int(self.clock())))
            try:
                params = await asyncio.to_thread(listener.compiled.evaluate, event)
                if params is not None:
                    await self._create(body, schedule, listener, EventId(heard.event, identity), params)
            except (ExpressionError, EventRefusedError):
                listener.version = max(listener.version, heard.version)
                raise
            listener.problem = None
        listener.version = max(listener.version, heard.version)

    async def _read_object(self, path: str, uid: str) -> dict[str, Any] | None:
        try:
            reply = await self._client.request("GET", path)
        except ApiError as error:
            if is_not_found(error):
                return None
            raise
        found: dict[str, Any] = msgspec.json.decode(reply.body)
        return found if found["metadata"]["uid"] == uid else None

    async def _create(
        self,
        body: Mapping[str, Any],
        schedule: _Schedule,
        listener: _Listener,
        event: EventId,
        params: Mapping[str, Any],
    ) -> None:
        name = await create_event_run(
            self._client, self.writer, body=body, spec=schedule.spec, event=event, params=params
        )
        if listener.stored.get("lastRun") != name:
            self.record(body, is_warning=False, reason="SuccessfulCreate", note=f"Created run {name}")
        listener.stored |= {"lastRun": name, "lastTime": rfc3339(int(self.clock()))}

    # The status

    async def _store(
        self, key: ObjectKey, body: Mapping[str, Any], changed: Mapping[str, Any], schedule: _Schedule | None
    ) -> None:
        stored = body.get("status") or {}
        conditions = stored.get("conditions") or []
        others = [one for one in conditions if one["type"] != LISTENING]
        known = [one for one in conditions if one["type"] == LISTENING]
        now = [] if schedule is None else [self._condition(stored, schedule)]
        status: dict[str, Any] = {"events": changed} if changed else {}
        # Its own controller begins the list: until then a list of ours alone would be overwritten.
        if now != known and others:
            status["conditions"] = [*others, *now]
        if status:
            await self.store_status(key, body, status)

    def _condition(self, stored: Mapping[str, Any], schedule: _Schedule) -> dict[str, Any]:
        reason, message = LISTENING, f"hears of its events: {', '.join(schedule.listeners)}"
        events = stored.get("events") or {}
        if schedule.spec.suspend:
            reason, message = "Suspended", "hears of nothing while spec.suspend is true"
        else:
            for name, listener in schedule.listeners.items():
                # What is wrong with a delivery, the replica that took it has stored.
                is_webhook = listener.trigger.webhook is not None
                problem = (events.get(name) or {}).get("problem") if is_webhook else listener.problem
                trouble = listener.trouble or (("EventFailed", problem) if problem is not None else None)
                if trouble is not None:
                    reason, message = trouble[0], f"event {name}: {trouble[1]}"
                    break
        return condition(
            stored,
            LISTENING,
            str(reason == LISTENING),
            reason=reason,
            message=message,
            generation=schedule.generation,
            now=self.clock(),
        )


def _update(listener: _Listener, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an event's status that are not as they should be."""
    is_watched = listener.is_armed or listener.definition == "suspended"
    wanted: dict[str, Any] = {"definition": listener.definition} if is_watched else {}
    if listener.trigger.webhook is None:
        wanted["problem"] = listener.problem
    if listener.seen is not None:
        wanted |= listener.seen.write()
    if listener.version is not None:
        # Without a run nothing is lost if these changes are looked at again, so it is not worth a write each time.
        is_due = "lastRun" in listener.stored and listener.stored.get("lastRun") != stored.get("lastRun")
        is_due |= stored.get("definition") != listener.definition or listener.problem != stored.get("problem")
        if is_due or "resourceVersion" not in stored:
            wanted["resourceVersion"] = str(listener.version)
    if listener.trigger.webhook is None:
        wanted |= {name: listener.stored[name] for name in ("lastRun", "lastTime") if name in listener.stored}
    update = {name: value for name, value in wanted.items() if stored.get(name) != value}
    listener.stored |= update
    return update


def _kind_of(listener: _Listener) -> EventKind | None:
    wanted = listener.trigger.resource
    return None if wanted is None else EventKind(wanted.api_version, wanted.kind)


def _chain(annotations: Mapping[str, str]) -> int:
    text = annotations.get(names.ANNOTATION_CHAIN, "0")
    return int(text) if text.isdecimal() and len(text) <= len(str(MAX_CHAIN)) else MAX_CHAIN
