"""The triggers of Schedules that the leader watches: ends of runs, and changes of objects.

An observed event is only a hint: it names a run or an object, which is then read. The Schedule's status says what was
handled before, and a run's name follows from its event. So neither a restart nor a repeated hint creates a second run,
and a list at the first reconcile finds what happened while no operator ran.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from penstock.api import names
from penstock.api.event import FlowRunEvent
from penstock.api.schedule import ScheduleSpec
from penstock.engine.keys import ObjectKey
from penstock.engine.timestamp import epoch
from penstock.engine.triggers.label_selector import selects
from penstock.engine.triggers.trigger import compile_trigger, covered_states, definition_digest, may_be_of
from penstock.engine.triggers.watermark import Watermark
from penstock.engine.validation.validation import check_schedule, parse_schedule
from penstock.errors import InvalidSpecError
from penstock.kube.client import ApiClient
from penstock.kube.errors import ApiError
from penstock.kube.kinds.schedule import EventStatus, Schedule
from penstock.kube.merge_patch import apply_merge_patch
from penstock.kube.metadata import ObjectMeta, PartialObject
from penstock.kube.reflector import Reflector
from penstock_operator.runs.live_run import RunEnd
from penstock_operator.runtime.controller import KeyedController
from penstock_operator.schedules.status import LISTENING
from penstock_operator.triggers.ended_runs import list_ended_runs
from penstock_operator.triggers.event_handler import EventHandler
from penstock_operator.triggers.kinds import AllowedKind, EventKinds, describe_not_allowed
from penstock_operator.triggers.observed import ObservedEvent
from penstock_operator.triggers.trigger import Trigger, TriggeredSchedule, listening_condition
from penstock_operator.triggers.watches import ObjectWatches

logger = logging.getLogger(__name__)

SLACK_S: Final = 5.0
"""Clocks differ, and times are whole seconds: runs that ended in the last seconds before a trigger becomes active are
recorded one by one."""
RETRY_S: Final = 30.0
"""Until a kind that could not be listed is tried again."""


class TriggerController(KeyedController[Schedule]):
    """Watches for the events of Schedules, and has their runs created.

    Args:
        client: for reads.
        kinds: where the objects of each allowed kind are.
        namespaces: those to watch; a single empty one for all.
        has_webhooks: whether this installation serves webhooks.
        options: those of `KeyedController`.
    """

    def __init__(
        self, client: ApiClient, kinds: EventKinds, *, namespaces: Sequence[str], has_webhooks: bool, **options: Any
    ) -> None:
        super().__init__(**options)
        self._client = client
        self._kinds = kinds
        self._has_webhooks = has_webhooks
        self._schedules: dict[ObjectKey, TriggeredSchedule] = {}
        self._handler = EventHandler(client, self.writer, kinds, record_event=self.record_event, clock=self.clock)
        self._watches = ObjectWatches(
            client,
            kinds,
            namespaces=namespaces,
            on_object=self._on_watched_object,
            on_synced=self._on_synced,
            fail=options["fail"],
        )

    error_condition = LISTENING

    async def close(self) -> None:
        """End all watches."""
        await self._watches.close()

    def forget_object(self, key: ObjectKey) -> None:
        """Drop what is kept of a deleted Schedule."""
        if self._schedules.pop(key, None) is not None:
            self._watches.keep_kinds(self._watched_kinds())

    def drop_state(self, key: ObjectKey) -> None:
        """Drop the triggers: where each had come to is stored."""
        self.forget_object(key)

    # Observed events

    def on_run_end(self, end: RunEnd) -> None:
        """Handle the end of a run."""
        if end.state is None:
            return
        for key, schedule in self._schedules.items():
            if key.namespace != end.key.namespace:
                continue
            for trigger in schedule.triggers.values():
                source = trigger.spec.flow_run
                if (
                    source is not None
                    and trigger.is_active
                    and may_be_of(source, end.flow, end.metadata.labels)
                    and end.state in covered_states(source.states)
                ):
                    self._observe(key, trigger, ObservedEvent(end.uid, ObjectKey(*end.key), self.clock(), end.flow))

    def _on_watched_object(self, kind: AllowedKind, item: PartialObject) -> None:
        for key, schedule in self._schedules.items():
            if key.namespace == item.metadata.namespace:
                for trigger in schedule.triggers.values():
                    self._observe_if_selected(key, trigger, kind, item.metadata)

    def _observe_if_selected(self, key: ObjectKey, trigger: Trigger, kind: AllowedKind, metadata: ObjectMeta) -> None:
        source = trigger.spec.resource
        if source is None or trigger.version is None or trigger.kind != kind:
            return
        if metadata.labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY:
            # The Pod of a run that an event created would be the next event, forever.
            return
        version = int(metadata.resource_version)
        if version > trigger.version and selects(source.selector, metadata.labels):
            self._observe(key, trigger, ObservedEvent(metadata.uid, metadata.key, version))

    def _on_synced(self, kind: AllowedKind) -> None:
        for key, schedule in self._schedules.items():
            if any(trigger.kind == kind for trigger in schedule.triggers.values()):
                self.queue.add(key)

    def _observe(self, key: ObjectKey, trigger: Trigger, event: ObservedEvent) -> None:
        trigger.observed.add(event)
        self.queue.add(key)

    async def reconcile(self, key: ObjectKey, item: Schedule) -> None:
        """Activate the triggers of a Schedule, and create the runs of what was observed."""
        stored = item.status.events
        schedule = self._read_triggers(key, item)
        if schedule is None:
            await self._store(key, item, dict.fromkeys(stored), None)
            return
        changes: dict[str, Any] = {name: None for name in stored if name not in schedule.triggers}
        for trigger in schedule.triggers.values():
            await self._activate(key, item, trigger, schedule.spec)
        try:
            wait_s = await self._handler.handle_observed(item, schedule)
            if wait_s is not None:
                self.queue.add_at(key, time.monotonic() + wait_s)
        finally:
            for name, trigger in schedule.triggers.items():
                if of_trigger := trigger.write_changes(stored.get(name) or EventStatus()):
                    changes[name] = of_trigger
            await self._store(key, item, changes, schedule)

    def _read_triggers(self, key: ObjectKey, item: Schedule) -> TriggeredSchedule | None:
        """Parse the Schedule's events; None if it has none, or is invalid."""
        metadata = item.metadata
        known = self._schedules.get(key)
        if known is not None and (known.uid, known.generation) == (metadata.uid, metadata.generation):
            return known
        self.forget_object(key)
        if metadata.deletion_timestamp is not None or not item.spec.get("events"):
            return None
        try:
            spec = parse_schedule({"spec": item.spec})
            if check_schedule(spec):
                return None
            triggers = {
                trigger.name: Trigger(
                    trigger,
                    compile_trigger(spec, index),
                    definition_digest(trigger, is_suspended=bool(spec.suspend)),
                    item.status.events.get(trigger.name) or EventStatus(),
                )
                for index, trigger in enumerate(spec.events or ())
            }
        except InvalidSpecError:
            # ScheduleController reports it.
            return None
        if known is not None and known.uid == metadata.uid:
            for name, trigger in triggers.items():
                # The watch may not have shown yet what was stored last.
                if name in known.triggers:
                    trigger.stored = apply_merge_patch(known.triggers[name].stored, msgspec.to_builtins(trigger.stored))
        schedule = self._schedules[key] = TriggeredSchedule(metadata.uid, metadata.generation, spec, triggers)
        self._watches.keep_kinds(self._watched_kinds())
        return schedule

    def _watched_kinds(self) -> set[AllowedKind]:
        kinds = (trigger.kind for schedule in self._schedules.values() for trigger in schedule.triggers.values())
        return {kind for kind in kinds if kind is not None}

    # Activation

    async def _activate(self, key: ObjectKey, item: Schedule, trigger: Trigger, spec: ScheduleSpec) -> None:
        if spec.suspend:
            return
        if trigger.is_active:
            if trigger.observed.must_be_listed:
                await self._list_dropped(key, trigger)
            return
        if trigger.spec.flow_run is not None:
            await self._activate_for_runs(key, item.metadata, trigger)
        elif trigger.spec.resource is not None:
            await self._activate_for_objects(key, trigger)
        else:
            trigger.is_active = True
            if not self._has_webhooks:
                message = "webhooks are disabled in this installation (events.webhook.enabled)"
                trigger.watch_problem = ("WebhooksOff", message)

    async def _list_dropped(self, key: ObjectKey, trigger: Trigger) -> None:
        """Find the events that were dropped because there were too many: all that were not handled."""
        trigger.observed.reopen()
        try:
            if trigger.spec.flow_run is not None:
                assert trigger.watermark is not None
                await self._list_ended_runs(key, trigger, trigger.spec.flow_run, trigger.watermark)
            elif trigger.kind is not None:
                self._observe_objects(key, trigger, await self._watches.open_watch(trigger.kind, key.namespace))
        except BaseException:
            trigger.observed.drop_all()
            raise

    async def _activate_for_runs(self, key: ObjectKey, metadata: ObjectMeta, trigger: Trigger) -> None:
        source = trigger.spec.flow_run
        assert source is not None
        stored = trigger.stored
        is_new = False
        if stored.definition == trigger.definition and stored.since is not None:
            watermark = Watermark.from_status(stored.since, msgspec.to_builtins(stored.seen or ()))
        elif stored == EventStatus() and metadata.generation == 1 and metadata.creation_timestamp is not None:
            # Ends of containers and creations of objects have times of whole seconds.
            watermark = Watermark(epoch(metadata.creation_timestamp) - 1.0)
        else:
            watermark, is_new = Watermark(self.clock() - SLACK_S), True
        trigger.watermark = watermark
        # From here on observed events count; the list finds what ended before.
        trigger.is_active = True
        try:
            if is_new:
                for run, time_s in await list_ended_runs(self._client, key.namespace, source, watermark):
                    watermark.mark_done(run.uid, time_s)
            else:
                await self._list_ended_runs(key, trigger, source, watermark)
        except BaseException:
            trigger.is_active = False
            raise

    async def _list_ended_runs(
        self, key: ObjectKey, trigger: Trigger, source: FlowRunEvent, watermark: Watermark
    ) -> None:
        for run, time_s in await list_ended_runs(self._client, key.namespace, source, watermark):
            self._observe(key, trigger, ObservedEvent(run.uid, run.key, time_s))

    async def _activate_for_objects(self, key: ObjectKey, trigger: Trigger) -> None:
        source, kind = trigger.spec.resource, trigger.kind
        assert source is not None
        assert kind is not None
        if kind not in self._kinds:
            trigger.watch_problem = ("KindNotAllowed", describe_not_allowed(source, self._kinds))
            return
        try:
            watch = await self._watches.open_watch(kind, key.namespace)
        except ApiError as error:
            trigger.watch_problem = ("CannotWatch", f"cannot watch {kind}: {error.message or error}")
            self.queue.add_at(key, time.monotonic() + RETRY_S)
            return
        if not watch.synced.is_set():
            trigger.watch_problem = ("Starting", f"the objects of {kind} are being listed")
            return
        try:
            # Versions of one kind can be compared, by the value of their digits:
            # https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/5504-comparable-resource-version
            version = int(watch.version)
        except ValueError:
            message = f"the resource versions of {kind} cannot be compared: {watch.version}"
            trigger.watch_problem = ("CannotWatch", message)
            return
        trigger.watch_problem = None
        stored = trigger.stored
        if stored.definition == trigger.definition and stored.resource_version is not None:
            version = int(stored.resource_version)
        trigger.version = version
        trigger.is_active = True
        self._observe_objects(key, trigger, watch)

    def _observe_objects(self, key: ObjectKey, trigger: Trigger, watch: Reflector[PartialObject]) -> None:
        assert trigger.kind is not None
        for item in watch.objects.values():
            if item.metadata.namespace == key.namespace:
                self._observe_if_selected(key, trigger, trigger.kind, item.metadata)

    # The status

    async def _store(
        self, key: ObjectKey, item: Schedule, changes: Mapping[str, Any], schedule: TriggeredSchedule | None
    ) -> None:
        stored = item.status
        others = [one for one in stored.conditions if one.type != LISTENING]
        known = [one for one in stored.conditions if one.type == LISTENING]
        now = []
        if schedule is not None:
            now = [listening_condition(stored.conditions, stored.events, schedule, self.clock())]
        status: dict[str, Any] = {"events": changes} if changes else {}
        # ScheduleController writes the list first: until then a list from here alone would be overwritten.
        if now != known and others:
            status["conditions"] = [*others, *now]
        if status:
            await self.store_status(key, item, status)
