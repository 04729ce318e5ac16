"""The rules of a Schedule in one line. Pure."""

from __future__ import annotations

from penstock.api.event import EventTrigger
from penstock.api.schedule import ScheduleSpec


def describe_rules(spec: ScheduleSpec) -> str:
    """Summarize the rules of a Schedule."""
    parts = [f"cron {', '.join(spec.cron)}"] if spec.cron else []
    parts += [f"every {spec.interval.every}"] if spec.interval else []
    parts += [f"at {len(spec.at)} dates" if len(spec.at) > 1 else f"at {spec.at[0]}"] if spec.at else []
    parts += [f"rrule {' '.join(text.split())}" for text in spec.rrule or ()]
    parts += [f"on {_describe_trigger(event)}" for event in spec.events or ()]
    parts += [f"jitter up to {spec.jitter}"] if spec.jitter else []
    return "; ".join(parts)


def _describe_trigger(event: EventTrigger) -> str:
    if event.flow_run is not None:
        which = f"of {event.flow_run.flow}" if event.flow_run.flow else "selected by labels"
        return f"{'/'.join(event.flow_run.states)} run {which}"
    if event.resource is not None:
        return f"change of {event.resource.kind}"
    return f"webhook {event.name}"
