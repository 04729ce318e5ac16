"""Events of Schedules that the leader listens for: ends of runs, and changes of objects.

What is heard is only a hint: it names a run or an object, which is then read. What was handled before is told by the
Schedule's status, and a run's name follows from its event. So neither a restart nor a repeated hint makes a second run,
and what happened while no operator ran is found by a list when the Schedule is first looked at.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from penstock.api import names
from penstock.api.schedule import ScheduleSpec
from penstock.engine.keys import ObjectKey
from penstock.engine.timestamp import epoch, rfc3339
from penstock.engine.triggers.label_selector import selects
from penstock.engine.triggers.trigger import (
    MAX_CHAIN,
    compile_trigger,
    covered_states,
    definition_digest,
    flow_of,
    flow_run_event,
    resource_event,
)
from penstock.engine.triggers.watermark import Watermark
from penstock.engine.validation.validation import check_schedule, parse_schedule
from penstock.errors import ExpressionError, InvalidSpecError
from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiError, is_namespace_terminating, is_not_found
from penstock.kube.metadata import ObjectMeta, PartialObject
from penstock.kube.resources import FLOWRUNS
from penstock_operator.runs.live_run import RunEnd
from penstock_operator.runtime.controller import KeyedController
from penstock_operator.triggers.ended_runs import ended_runs
from penstock_operator.triggers.kinds import AllowedKind, EventKinds, not_allowed
from penstock_operator.triggers.run import EventId, EventRefusedError, create_event_run
from penstock_operator.triggers.trigger import (
    LISTENING,
    ObservedEvent,
    Trigger,
    TriggeredSchedule,
    kind_of,
    listening_condition,
    update_of,
)
from penstock_operator.triggers.watches import ObjectWatches

logger = logging.getLogger(__name__)

SLACK_S: Final = 5.0
"""Clocks differ, and times are whole seconds: ends of the last seconds before a Schedule begins to listen are noted one
by one."""
AGAIN_S: Final = 30.0
"""When to try again to watch a kind that can't be listed."""


class TriggerController(KeyedController):
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
        self._schedules: dict[ObjectKey, TriggeredSchedule] = {}
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
                    self._hear(key, ObservedEvent(name, end.uid, ObjectKey(*end.key), 0, end.flow))

    def _on_object(self, kind: AllowedKind, item: PartialObject) -> None:
        for key, schedule in self._schedules.items():
            if key.namespace == item.metadata.namespace:
                for name, listener in schedule.listeners.items():
                    self._offer(key, name, listener, kind, item.metadata)

    def _offer(self, key: ObjectKey, name: str, listener: Trigger, kind: AllowedKind, metadata: ObjectMeta) -> None:
        wanted = listener.trigger.resource
        if wanted is None or listener.version is None or AllowedKind(wanted.api_version, wanted.kind) != kind:
            return
        if metadata.labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY:
            # The Pod of a run that an event made would be the next event, for ever.
            return
        version = int(metadata.resource_version)
        if version > listener.version and selects(wanted.selector, metadata.labels):
            self._hear(key, ObservedEvent(name, metadata.uid, metadata.key, version))

    def _on_synced(self, kind: AllowedKind) -> None:
        for key, schedule in self._schedules.items():
            if any(kind_of(listener) == kind for listener in schedule.listeners.values()):
                self.queue.add(key)

    def _hear(self, key: ObjectKey, heard: ObservedEvent) -> None:
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
                if update := update_of(listener, stored.get(name) or {}):
                    changed[name] = update
            await self._store(key, body, changed, schedule)

    def _read(self, key: ObjectKey, body: Mapping[str, Any]) -> TriggeredSchedule | None:
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
                trigger.name: Trigger(
                    trigger,
                    compile_trigger(spec, index),
                    definition_digest(trigger, is_suspended=bool(spec.suspend)),
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
        schedule = self._schedules[key] = TriggeredSchedule(metadata["uid"], metadata["generation"], spec, listeners)
        self._watches.keep(self._watched_kinds())
        return schedule

    def _watched_kinds(self) -> set[AllowedKind]:
        kinds = (kind_of(one) for schedule in self._schedules.values() for one in schedule.listeners.values())
        return {kind for kind in kinds if kind is not None}

    # Listening

    async def _arm(
        self, key: ObjectKey, body: Mapping[str, Any], name: str, listener: Trigger, spec: ScheduleSpec
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

    async def _arm_for_runs(self, key: ObjectKey, body: Mapping[str, Any], name: str, listener: Trigger) -> None:
        wanted = listener.trigger.flow_run
        assert wanted is not None
        stored = listener.stored
        is_new = False
        if stored.get("definition") == listener.definition and "since" in stored:
            listener.seen = Watermark.from_status(stored["since"], stored.get("seen") or ())
        elif not stored and body["metadata"]["generation"] == 1:
            # Containers tell their ends in whole seconds, and the API server its creations.
            listener.seen = Watermark(epoch(body["metadata"]["creationTimestamp"]) - 1.0)
        else:
            listener.seen, is_new = Watermark(self.clock() - SLACK_S), True
        # From here on hints count; what ended before is found by the list.
        listener.is_armed = True
        try:
            for run, time in await ended_runs(self._client, key.namespace, wanted, listener.seen):
                if is_new:
                    listener.seen.mark_done(run.uid, time)
                else:
                    self._hear(key, ObservedEvent(name, run.uid, run.key, 0))
        except BaseException:
            listener.is_armed = False
            raise

    async def _arm_for_objects(self, key: ObjectKey, name: str, listener: Trigger) -> None:
        wanted = listener.trigger.resource
        assert wanted is not None
        kind = AllowedKind(wanted.api_version, wanted.kind)
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

    async def _work_off(self, body: Mapping[str, Any], schedule: TriggeredSchedule) -> None:
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

    async def _take_run(
        self, body: Mapping[str, Any], schedule: TriggeredSchedule, listener: Trigger, heard: ObservedEvent
    ) -> None:
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
                seen.mark_done(heard.uid, epoch(ended))
                raise
            listener.problem = None
        seen.mark_done(heard.uid, epoch(ended))

    async def _follow(
        self,
        body: Mapping[str, Any],
        schedule: TriggeredSchedule,
        listener: Trigger,
        heard: ObservedEvent,
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
        self, body: Mapping[str, Any], schedule: TriggeredSchedule, listener: Trigger, heard: ObservedEvent
    ) -> None:
        wanted = listener.trigger.resource
        if wanted is None or listener.version is None or heard.version <= listener.version:
            return
        resource = self._kinds[AllowedKind(wanted.api_version, wanted.kind)]
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
        schedule: TriggeredSchedule,
        listener: Trigger,
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
        self, key: ObjectKey, body: Mapping[str, Any], changed: Mapping[str, Any], schedule: TriggeredSchedule | None
    ) -> None:
        stored = body.get("status") or {}
        conditions = stored.get("conditions") or []
        others = [one for one in conditions if one["type"] != LISTENING]
        known = [one for one in conditions if one["type"] == LISTENING]
        now = [] if schedule is None else [listening_condition(stored, schedule, self.clock())]
        status: dict[str, Any] = {"events": changed} if changed else {}
        # Its own controller begins the list: until then a list of ours alone would be overwritten.
        if now != known and others:
            status["conditions"] = [*others, *now]
        if status:
            await self.store_status(key, body, status)


def _chain(annotations: Mapping[str, str]) -> int:
    text = annotations.get(names.ANNOTATION_CHAIN, "0")
    return int(text) if text.isdecimal() and len(text) <= len(str(MAX_CHAIN)) else MAX_CHAIN
