"""The output of `penstock describe` for a Schedule. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from penstock.cli.text.console import Text
from penstock.cli.text.description import (
    WARNING,
    condition_title,
    deed_fields,
    event_section,
    field,
    heading,
    moment_text,
    value_text,
)
from penstock.cli.text.recent_runs import recent_section
from penstock.cli.text.run_table import RunCells
from penstock.cli.text.schedule_row import NO_ZONE, last_run, rules_of
from penstock.drawing.task_rows import Object, read_time, status_of

POLICIES = ("onMissed", "onOverlap", "maxQueued", "jitter", "history", "startTime", "endTime", "onDelete")
"""Fields that are shown as they are."""


def describe_schedule(
    schedule: Object, runs: Sequence[RunCells], events: Sequence[Object], now: dt.datetime, hint: Callable[[str], str]
) -> Iterator[Text]:
    """Describe a Schedule.

    Args:
        schedule: the Schedule.
        runs: its runs, the newest last.
        events: the `events.k8s.io/v1` Events about it.
        now: the current time, in the time zone of the output.
        hint: returns the full command line of a command.
    """
    name, spec, status = schedule["metadata"]["name"], schedule["spec"], status_of(schedule)
    yield condition_title(schedule, "Ready")
    if spec.get("suspend"):
        yield Text("  suspended: no runs are created", WARNING)
    yield field("when", rules_of(schedule))
    yield field("time zone", spec.get("timeZone") or NO_ZONE)
    yield from (field(word, value) for word, value in _run_fields(spec["runTemplate"]["spec"]))
    for word in POLICIES:
        if word in spec:
            yield field(word, spec[word] if isinstance(spec[word], str) else value_text(spec[word]))
    ticks = [] if spec.get("suspend") else [read_time(text) for text in status.get("nextTickTimes") or ()]
    for place, tick in enumerate(filter(None, ticks)):
        yield field("" if place else "next ticks", moment_text(tick, now))
    if run := last_run(schedule):
        yield field("last run", f"{run.name}, {moment_text(run.time, now)}")
    if success := read_time(status.get("lastSuccessTime")):
        yield field("last ok", moment_text(success, now))
    if status.get("activeRuns"):
        yield field("active", ", ".join(status.get("active") or ()) or str(status["activeRuns"]))
    if status.get("queued"):
        yield field("queued", ", ".join(status["queued"]))
    yield from (field(name, text) for name, text in _not_made(status))
    yield from deed_fields(schedule["metadata"], ("created", "changed", "suspended", "resumed"), now)
    yield from _event_lines(schedule, now)
    yield from recent_section(runs, now)
    yield from event_section(events, now)
    yield from heading("Next commands")
    yield Text(f"  {hint(f'schedule run {name}')}")
    yield Text(f"  {hint(f'schedule preview {name}')}")
    yield Text(f"  {hint(f'schedule resume {name}' if spec.get('suspend') else f'schedule suspend {name}')}")


def _not_made(status: Object) -> Iterator[tuple[str, str]]:
    """Describe the ticks that were not made."""
    if missed := status.get("lastMissed"):
        yield "missed", f"{status.get('missedTicks', 1)}; last {missed['tickTime']}: {missed['message']}"
    if not_run := status.get("notRunTicks"):
        yield "not run", f"{not_run}; last at {status.get('lastNotRunTime')}: see `penstock get --state Skipped`"


def _run_fields(template: Object) -> Iterator[tuple[str, str]]:
    flow = (template.get("flow") or {}).get("name")
    yield "flow", flow or ("inline" if "flowSpec" in template else "a retry")
    for place, (name, value) in enumerate((template.get("params") or {}).items()):
        yield "" if place else "params", f"{name}: {value_text(value)}"


def _event_lines(schedule: Object, now: dt.datetime) -> Iterator[Text]:
    triggers = schedule["spec"].get("events") or ()
    states: dict[str, Any] = status_of(schedule).get("events") or {}
    if triggers:
        yield from heading("Listens to")
    for trigger in triggers:
        state = states.get(trigger["name"]) or {}
        last = read_time(state.get("lastTime"))
        seen = f"last {moment_text(last, now)}" if last else "no event yet"
        yield Text(f"  {trigger['name']}: {seen}" + (f", run {state['lastRun']}" if state.get("lastRun") else ""))
        if state.get("problem"):
            yield Text(f"      {state['problem']}", WARNING)
