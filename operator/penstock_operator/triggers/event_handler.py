"""From an observed event to its run: reads the run or object that the event names, and creates what follows from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from penstock.api import names
from penstock.engine.timestamp import epoch, rfc3339
from penstock.engine.triggers.trigger import MAX_CHAIN, flow_of, flow_run_event, may_be_of, resource_event
from penstock.engine.workloads.child_run import read_parent
from penstock.errors import ExpressionError
from penstock.kube.client import METADATA, ApiClient
from penstock.kube.errors import ApiError, is_namespace_terminating
from penstock.kube.kinds.run_summary import RunSummary
from penstock.kube.kinds.schedule import Schedule
from penstock.kube.metadata import PartialObject
from penstock.kube.resources import FLOWRUNS, Resource
from penstock.kube.writer import Writer
from penstock_operator.runtime.controller import RecordEvent
from penstock_operator.triggers.kinds import AllowedKind, EventKinds
from penstock_operator.triggers.observed import ObservedEvent
from penstock_operator.triggers.run import EventId, EventRefusedError, create_event_run
from penstock_operator.triggers.trigger import Trigger, TriggeredSchedule

EVENTS_AT_ONCE: Final = 100
"""Events of one Schedule that are handled before it is another Schedule's turn."""
PAUSE_S: Final = 1.0
"""When runs have to wait, several are created together: the Schedule's status is stored after each time."""


class EventHandler:
    """Creates the runs of observed events.

    Args:
        client: for reads.
        writer: for writes.
        kinds: where the objects of each allowed kind are.
        record_event: of `KeyedController`.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        kinds: EventKinds,
        *,
        record_event: RecordEvent[Schedule],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._writer = writer
        self._kinds = kinds
        self._record_event = record_event
        self._clock = clock

    async def handle_observed(self, item: Schedule, schedule: TriggeredSchedule) -> float | None:
        """Handle some of the observed events of a Schedule, those of each trigger in their order.

        Returns:
            After how many seconds the others are to be handled; None if there are none.

        Raises:
            ApiError: the API server refused, and may not refuse later.
            ApiUnreachableError: no answer.
        """
        handled = 0
        while waiting := [trigger for trigger in schedule.triggers.values() if trigger.observed]:
            for trigger in waiting:
                wait_s = schedule.budget.wait_s
                if wait_s > 0:
                    return wait_s + PAUSE_S
                if handled == EVENTS_AT_ONCE:
                    return 0.0
                await self._handle_next(item, schedule, trigger)
                handled += 1
        return 0.0 if any(trigger.observed.must_be_listed for trigger in schedule.triggers.values()) else None

    async def _handle_next(self, item: Schedule, schedule: TriggeredSchedule, trigger: Trigger) -> None:
        event = trigger.observed.take_event()
        try:
            if trigger.spec.resource is not None:
                await self._handle_object(item, schedule, trigger, event)
            else:
                await self._handle_run_end(item, schedule, trigger, event)
        except (ExpressionError, EventRefusedError) as error:
            trigger.problem = str(error)
            note = f"Event {trigger.spec.name}: {error}"
            self._record_event(item, is_warning=True, reason="EventFailed", note=note)
        except BaseException as error:
            if not (isinstance(error, ApiError) and is_namespace_terminating(error)):
                trigger.observed.put_back(event)
                raise

    async def _handle_run_end(
        self, item: Schedule, schedule: TriggeredSchedule, trigger: Trigger, event: ObservedEvent
    ) -> None:
        run = await self._read_object(FLOWRUNS, event)
        watermark, source = trigger.watermark, trigger.spec.flow_run
        if run is None or watermark is None or source is None:
            return
        summary = msgspec.convert(run, RunSummary)
        if not may_be_of(source, event.flow or flow_of(run) or "", summary.metadata.labels):
            return
        ended = summary.status.completion_time
        if ended is None or not watermark.is_new(event.uid, epoch(ended)):
            return
        outermost = await self._read_outermost(run["metadata"])
        if (outermost.get("labels") or {}).get(names.LABEL_SCHEDULE) != item.metadata.name:
            chain = _chain(outermost.get("annotations") or {}) + 1
            try:
                await self._create_next_run(item, schedule, trigger, event, run, chain)
            except (ExpressionError, EventRefusedError):
                # Handled all the same: another try would fail as well.
                watermark.mark_done(event.uid, epoch(ended))
                raise
            trigger.problem = None
        watermark.mark_done(event.uid, epoch(ended))

    async def _create_next_run(
        self,
        item: Schedule,
        schedule: TriggeredSchedule,
        trigger: Trigger,
        event: ObservedEvent,
        run: Mapping[str, Any],
        chain: int,
    ) -> None:
        """Create the run that follows from the end of another, as the one of this number in a chain."""
        if chain > MAX_CHAIN:
            raise EventRefusedError(
                f"stopped after {MAX_CHAIN} chained runs, the last of which is {event.key.name}: "
                "the Schedules may be triggering each other"
            )
        params = await asyncio.to_thread(trigger.compiled.evaluate, flow_run_event(trigger.spec.name, run))
        if params is not None:
            await self._create_run(item, schedule, trigger, EventId(trigger.spec.name, event.uid, chain), params)

    async def _read_outermost(self, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the metadata of the run that a child run is nested in, the outermost one; of any other run its own.

        Only that one says which Schedule created it, and after which others: the child of a run that an event created
        would be the next event, forever.
        """
        # The parent's uid is part of a child's name, so this ends.
        while (parent := read_parent(metadata)) is not None:
            found = await self._client.get(
                FLOWRUNS, metadata["namespace"], parent.run, kind=dict[str, Any], accept=METADATA
            )
            if found is None or found["metadata"]["uid"] != parent.uid:
                break
            metadata = found["metadata"]
        return metadata

    async def _handle_object(
        self, item: Schedule, schedule: TriggeredSchedule, trigger: Trigger, event: ObservedEvent
    ) -> None:
        source = trigger.spec.resource
        if source is None or trigger.version is None or event.order <= trigger.version:
            return
        found = await self._read_object(self._kinds[AllowedKind(source.api_version, source.kind)], event)
        if found is not None:
            found = {"apiVersion": source.api_version, "kind": source.kind, **found}
            identity = f"{event.uid}/{found['metadata']['resourceVersion']}"
            fields = resource_event(trigger.spec.name, found, rfc3339(int(self._clock())))
            try:
                params = await asyncio.to_thread(trigger.compiled.evaluate, fields)
                if params is not None:
                    await self._create_run(item, schedule, trigger, EventId(trigger.spec.name, identity), params)
            except (ExpressionError, EventRefusedError):
                trigger.version = max(trigger.version, int(event.order))
                raise
            trigger.problem = None
        trigger.version = max(trigger.version, int(event.order))

    async def _read_object(self, resource: Resource, event: ObservedEvent) -> dict[str, Any] | None:
        """Read what an event names, as JSON: expressions may use any field."""
        found = await self._client.get(resource, event.key.namespace, event.key.name, kind=dict[str, Any])
        if found is None or msgspec.convert(found, PartialObject).metadata.uid != event.uid:
            return None
        return found

    async def _create_run(
        self,
        item: Schedule,
        schedule: TriggeredSchedule,
        trigger: Trigger,
        event: EventId,
        params: Mapping[str, Any],
    ) -> None:
        name = await create_event_run(
            self._client, self._writer, schedule=item.metadata, spec=schedule.spec, event=event, params=params
        )
        schedule.budget.take_token()
        if trigger.stored.last_run != name:
            self._record_event(item, is_warning=False, reason="SuccessfulCreate", note=f"Created run {name}")
        trigger.update_stored({"lastRun": name, "lastTime": rfc3339(int(self._clock()))})


def _chain(annotations: Mapping[str, str]) -> int:
    text = annotations.get(names.ANNOTATION_CHAIN, "0")
    return int(text) if text.isdecimal() and len(text) <= len(str(MAX_CHAIN)) else MAX_CHAIN
