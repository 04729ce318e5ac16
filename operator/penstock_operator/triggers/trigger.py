"""The triggers of a Schedule: what each listens for, how far it has come, and what the status says about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from penstock.api.event import EventTrigger
from penstock.api.schedule import ScheduleSpec
from penstock.engine.triggers.trigger import CompiledTrigger
from penstock.engine.triggers.watermark import Watermark
from penstock.kube.conditions import Condition, condition
from penstock.kube.kinds.schedule import EventStatus
from penstock.kube.merge_patch import apply_merge_patch
from penstock_operator.runtime.token_bucket import TokenBucket
from penstock_operator.schedules.status import CANNOT_LISTEN, LISTENING
from penstock_operator.triggers.kinds import AllowedKind
from penstock_operator.triggers.observed import ObservedEvents

RUNS_AT_ONCE: Final = 100
RUNS_PER_S: Final = 10.0
"""Runs that one Schedule creates by ends of runs and changes of objects: so many at once, then so many in a second."""


@dataclass(slots=True)
class Trigger:
    """One entry of a Schedule's `events`.

    Attributes:
        spec: what to listen for.
        compiled: its expressions.
        definition: a digest of what is listened for.
        stored: the trigger in the Schedule's status, as far as it is known.
        watermark: ends of runs that were handled.
        version: changes of objects up to this version were handled.
        is_active: whether it listens.
        watch_problem: why it cannot listen: a reason and a message.
        problem: why the last event created no run.
        observed: events that are not handled yet.
    """

    spec: EventTrigger
    compiled: CompiledTrigger
    definition: str
    stored: EventStatus
    watermark: Watermark | None = None
    version: int | None = None
    is_active: bool = False
    watch_problem: tuple[str, str] | None = None
    problem: str | None = None
    observed: ObservedEvents = field(default_factory=ObservedEvents)

    def update_stored(self, changes: Mapping[str, Any]) -> None:
        """Record fields that are stored, or are about to be, by their names in JSON."""
        self.stored = apply_merge_patch(self.stored, changes)

    @property
    def kind(self) -> AllowedKind | None:
        """The kind of objects that it listens to; None for other sources."""
        resource = self.spec.resource
        return None if resource is None else AllowedKind(resource.api_version, resource.kind)

    def write_changes(self, stored: EventStatus) -> dict[str, Any]:
        """Return the fields of the trigger's status that are to be stored, and record them as stored.

        Args:
            stored: the trigger in the Schedule's status.
        """
        is_watched = self.is_active or self.definition == "suspended"
        wanted: dict[str, Any] = {"definition": self.definition} if is_watched else {}
        if self.spec.webhook is None:
            wanted["problem"] = self.problem
        if self.watermark is not None:
            wanted |= self.watermark.to_status()
        if self.version is not None:
            # Changes that created no run can be handled again without loss, so they are not worth a write each.
            is_due = self.stored.last_run is not None and self.stored.last_run != stored.last_run
            is_due |= stored.definition != self.definition or self.problem != stored.problem
            if is_due or stored.resource_version is None:
                wanted["resourceVersion"] = str(self.version)
        if self.spec.webhook is None:
            last = {"lastRun": self.stored.last_run, "lastTime": self.stored.last_time}
            wanted |= {name: value for name, value in last.items() if value is not None}
        known = msgspec.to_builtins(stored)
        changes = {name: value for name, value in wanted.items() if known.get(name) != value}
        self.update_stored(changes)
        return changes


@dataclass(slots=True)
class TriggeredSchedule:
    """A Schedule with events.

    Attributes:
        uid: its uid.
        generation: of the spec that the triggers are from.
        spec: its spec.
        triggers: by their names.
        budget: has a token for each run that may be created now.
    """

    uid: str
    generation: int
    spec: ScheduleSpec
    triggers: dict[str, Trigger]
    budget: TokenBucket = field(default_factory=lambda: TokenBucket(RUNS_AT_ONCE, RUNS_PER_S))


def listening_condition(
    stored: Iterable[Condition], events: Mapping[str, EventStatus], schedule: TriggeredSchedule, now: float
) -> Condition:
    """Return the condition that says whether a Schedule's triggers listen.

    Args:
        stored: the Schedule's conditions.
        events: the triggers in its status.
        schedule: what it listens for.
        now: seconds since the epoch.
    """
    reason, message = LISTENING, f"listening for events: {', '.join(schedule.triggers)}"
    if schedule.spec.suspend:
        reason, message = "Suspended", "suspended: not listening while spec.suspend is true"
    else:
        for name, trigger in schedule.triggers.items():
            # The problem of a delivery is stored by the replica that received it.
            of_webhook = events[name].problem if name in events else None
            problem = of_webhook if trigger.spec.webhook is not None else trigger.problem
            found = trigger.watch_problem or (("EventFailed", problem) if problem is not None else None)
            if found is not None:
                reason, message = found[0], f"event {name}: {found[1]}"
                break
        others = [name for name, trigger in schedule.triggers.items() if trigger.watch_problem is None]
        if reason in CANNOT_LISTEN and others:
            reason, message = "PartlyListening", f"{message}; listening for events: {', '.join(others)}"
    return condition(
        stored,
        LISTENING,
        str(reason == LISTENING),
        reason=reason,
        message=message,
        generation=schedule.generation,
        now=now,
    )
