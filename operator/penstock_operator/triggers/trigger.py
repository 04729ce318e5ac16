"""What a Schedule listens for, how far that has come, and what its status says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from penstock.api.event import EventTrigger
from penstock.api.schedule import ScheduleSpec
from penstock.engine.keys import ObjectKey
from penstock.engine.triggers.trigger import CompiledTrigger
from penstock.engine.triggers.watermark import Watermark
from penstock.kube.conditions import condition
from penstock_operator.triggers.kinds import AllowedKind

LISTENING: Final = "Listening"


class ObservedEvent(NamedTuple):
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
class Trigger:
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
    compiled: CompiledTrigger
    definition: str
    stored: dict[str, Any]
    seen: Watermark | None = None
    version: int | None = None
    is_armed: bool = False
    trouble: tuple[str, str] | None = None
    problem: str | None = None


@dataclass(slots=True)
class TriggeredSchedule:
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
    listeners: dict[str, Trigger]
    heard: dict[ObservedEvent, None] = field(default_factory=dict)


def listening_condition(stored: Mapping[str, Any], schedule: TriggeredSchedule, now: float) -> dict[str, Any]:
    """Say whether a Schedule hears of its events.

    Args:
        stored: its status.
        schedule: what it listens for.
        now: seconds since the epoch.
    """
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
        now=now,
    )


def update_of(listener: Trigger, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an event's status that are not as they should be."""
    is_watched = listener.is_armed or listener.definition == "suspended"
    wanted: dict[str, Any] = {"definition": listener.definition} if is_watched else {}
    if listener.trigger.webhook is None:
        wanted["problem"] = listener.problem
    if listener.seen is not None:
        wanted |= listener.seen.to_status()
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


def kind_of(listener: Trigger) -> AllowedKind | None:
    """Return the kind of objects that is listened to, if it is objects."""
    wanted = listener.trigger.resource
    return None if wanted is None else AllowedKind(wanted.api_version, wanted.kind)
