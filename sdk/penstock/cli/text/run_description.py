"""The output of `penstock describe`: what happened in a run, why, and what to do. Pure."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import starmap
from typing import Any, Final, NamedTuple

from penstock.api.names import LABEL_SCHEDULE
from penstock.cli.text.console import Text
from penstock.cli.text.progress import is_finished, is_successful, pending_actions, select_most_urgent
from penstock.cli.text.times import format_distance
from penstock.drawing.state_styles import state_style
from penstock.drawing.task_rows import (
    FAILED_STATES,
    Object,
    TaskRow,
    format_duration,
    read_tasks,
    read_time,
    shorten,
    status_of,
)
from penstock.engine.reasons import NO_ACTION, REASONS, Reason

MAX_TASKS: Final = 200
"""Tasks that are listed; `penstock get -o yaml` shows all."""
MAX_MESSAGE_LINES: Final = 10
FIELD_WIDTH: Final = 11
WARNING: Final = "yellow"


class _Advice(NamedTuple):
    reason: str
    text: str


def describe_run(run: Object, events: Sequence[Object], now: dt.datetime, hint: Callable[[str], str]) -> Iterator[Text]:
    """Describe a run.

    Args:
        run: the FlowRun.
        events: the `events.k8s.io/v1` Events about it.
        now: the current time, in the time zone of the output.
        hint: returns the full command line of a command.
    """
    status = status_of(run)
    yield _title(run, now)
    if why := _why(status):
        yield Text(f"  {why}", "bold")
    yield from (_field(name, value) for name, value in _fields(run, now))
    rows = read_tasks(run)
    entries = {task["name"]: task for task in status.get("tasks") or ()}
    shown, rest = select_most_urgent(rows, MAX_TASKS)
    width = max((len(row.name) for row in shown), default=0)
    for heading, is_finally in (("Tasks", False), ("Finally", True)):
        part = [row for row in shown if row.is_finally is is_finally]
        if part:
            yield from _heading(heading)
        for row in part:
            yield from _task(row, entries[row.name], width, now)
    if rest:
        yield Text(f"  {rest}", "dim")
    if outputs := status.get("outputs"):
        yield from _heading("Outputs")
        yield from (Text(f"  {key}: {_value(value)}") for key, value in outputs.items())
    if events:
        yield from _heading("Events")
        yield from map(_event(now), sorted(events, key=_event_time))
    if advice := _advice(status):
        yield from _heading("What to do")
        yield from (Text(f"  {each.reason}: {each.text}") for each in advice)
    if commands := _commands(run, rows):
        yield from _heading("Next commands")
        yield from (Text(f"  {hint(each)}") for each in commands)


def _title(run: Object, now: dt.datetime) -> Text:
    status = status_of(run)
    state = status.get("state")
    title = Text(f"FlowRun {run['metadata']['name']}  ", "bold")
    if state is None:
        return title.append("not handled by any operator yet; if this persists, run penstock doctor", WARNING)
    title.append(f"{state_style(state).sign} {state}", state_style(state).style)
    start, end = read_time(status.get("startTime")), read_time(status.get("completionTime"))
    if start:
        length = format_duration(((end or now) - start).total_seconds())
        title.append(f" {'in' if end else 'for'} {length}")
    if status.get("progress"):
        title.append(f", {status['progress']} tasks finished")
    return title


def _fields(run: Object, now: dt.datetime) -> Iterator[tuple[str, str]]:
    yield from _origin_fields(run)
    yield from _requested_changes(run)
    metadata, spec, status = run["metadata"], run["spec"], status_of(run)
    for name, text in (
        ("created", metadata.get("creationTimestamp")),
        ("due", spec.get("scheduledTime")),
        ("started", status.get("startTime")),
        ("finished", status.get("completionTime")),
        ("paused", status.get("pausedSince")),
    ):
        if moment := read_time(text):
            yield name, _moment(moment, now)


def _origin_fields(run: Object) -> Iterator[tuple[str, str]]:
    """Return its Flow, params and origin."""
    metadata, spec, status = run["metadata"], run["spec"], status_of(run)
    flow = (spec.get("flow") or {}).get("name") or ("inline" if spec.get("flowSpec") else "")
    if flow or status.get("revision"):
        yield "flow", ", ".join(filter(None, (flow, status.get("revision") and f"revision {status['revision']}")))
    params = status.get("params") or spec.get("params") or {}
    for place, (name, value) in enumerate(params.items()):
        yield "" if place else "params", f"{name}: {_value(value)}"
    if retried := spec.get("retryOf"):
        revision = "the current Flow" if retried.get("revision") == "Latest" else "the Flow revision of that run"
        yield "retries", f"{retried['name']}, with {revision}"
    owners = [f"{owner['kind']} {owner['name']}" for owner in metadata.get("ownerReferences") or ()]
    schedule = (metadata.get("labels") or {}).get(LABEL_SCHEDULE)
    yield from (("created by", creator) for creator in owners or ([f"Schedule {schedule}"] if schedule else []))


def _requested_changes(run: Object) -> Iterator[tuple[str, str]]:
    """Return the settings that users can change."""
    spec, status = run["spec"], status_of(run)
    yield from ((name, str(spec[name])) for name in ("priority", "timeout") if spec.get(name) is not None)
    if spec.get("suspend"):
        yield "suspended", "no new tasks start"
    if shutdown := status.get("shutdown") or ({"mode": spec["shutdown"]} if spec.get("shutdown") else None):
        yield "shutdown", ": ".join(filter(None, (shutdown["mode"], shutdown.get("message") or shutdown.get("reason"))))
    for decision in spec.get("approvals") or ():
        comment = f': "{decision["comment"]}"' if decision.get("comment") else ""
        yield "decided", f"{decision['task']}: {decision['decision']}{comment}"
    if status.get("queuePosition"):
        yield "queue", f"position {status['queuePosition']}"


def _task(row: TaskRow, entry: Mapping[str, Any], width: int, now: dt.datetime) -> Iterator[Text]:
    sign, style = state_style(row.state)
    line = Text("  ").append(f"{sign} ", style).append(f"{row.name:{width}}  ").append(row.state, style)
    attempts = entry.get("attempts") or ()
    if row.items:
        line.append(f", {row.items}")
    if (row.attempt or 0) > 1 or attempts:
        line.append(f", attempt {row.attempt}")
    if duration := row.duration(now):
        line.append(f", {duration}")
    if other := row.other_run():
        line.append(f", {other}")
    if row.state == "Retrying" and row.wake:
        line.append(f", retry in {format_duration((row.wake - now).total_seconds())}")
    yield line
    indent = " " * 6
    if entry.get("pod") and row.state not in {"Completed", "Cached", "Skipped"}:
        node = f" on node {entry['node']}" if entry.get("node") else ""
        yield Text(f"{indent}Pod {entry['pod']}{node}", "dim")
    for attempt in attempts:
        yield Text(f"{indent}attempt {attempt['attempt']}{_attempt(attempt, now)}", "dim")
    for failed in (entry.get("items") or {}).get("failed") or ():
        yield Text(f"{indent}item {failed.get('index')}, attempt {failed['attempt']}{_attempt(failed, now)}", "red")
    why = _why(entry)
    lines = [part.rstrip() for part in why.splitlines() if part.strip()]
    for part in lines[-MAX_MESSAGE_LINES:]:
        yield Text(f"{indent}{part}", "red" if row.state in FAILED_STATES else "")


def _attempt(attempt: Mapping[str, Any], now: dt.datetime) -> str:
    start, end = read_time(attempt.get("startTime")), read_time(attempt.get("completionTime"))
    parts = [f" at {start.astimezone(now.tzinfo):%T}"] if start else []
    if start and end:
        parts.append(f" for {format_duration((end - start).total_seconds())}")
    lines = [line.strip() for line in (attempt.get("message") or "").splitlines() if line.strip()]
    why = _reason(attempt) + (f": {shorten(lines[-1])}" if lines else "")
    return "".join(parts) + (f", {why}" if why else "")


def _reason(status: Mapping[str, Any]) -> str:
    reason = status.get("reason") or ""
    return f"{reason} {status['exitCode']}" if reason == Reason.EXIT_CODE and "exitCode" in status else reason


def _why(status: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, (_reason(status), (status.get("message") or "").strip())))


def _advice(status: Mapping[str, Any]) -> list[_Advice]:
    """Return the advice for each reason in a status, once."""
    found: dict[str, None] = dict.fromkeys(filter(None, [status.get("reason")]))
    for task in status.get("tasks") or ():
        failed = (task.get("items") or {}).get("failed") or ()
        found |= dict.fromkeys(filter(None, (each.get("reason") for each in (task, *failed))))
    texts = {str(reason): text.advice for reason, text in REASONS.items()}
    advice = {reason: texts[reason] for reason in found if reason in texts and texts[reason] != NO_ACTION}
    return list(starmap(_Advice, advice.items()))


def _commands(run: Object, rows: Sequence[TaskRow]) -> list[str]:
    name = run["metadata"]["name"]
    commands = [each for action in pending_actions(run) for each in action.commands]
    failed = next((row for row in rows if row.state in FAILED_STATES and (row.attempt or row.items)), None)
    if failed:
        commands.append(f"describe {failed.run}" if failed.run else f"logs {name} --task {failed.name}")
    if is_finished(run):
        return [*commands, *([] if is_successful(run) else [f"retry {name}"])]
    return [*commands, f"watch {name}"]


def _event(now: dt.datetime) -> Callable[[Object], Text]:
    def write(event: Object) -> Text:
        moment = read_time(_event_time(event))
        time = f"{moment.astimezone(now.tzinfo):%F %T}" if moment else ""
        line = f"  {time}  {event.get('type', ''):7}  {event.get('reason', '')}: {event.get('note') or ''}".rstrip()
        return Text(line, WARNING if event.get("type") == "Warning" else "")

    return write


def _event_time(event: Object) -> str:
    return str(
        event.get("eventTime")
        or event.get("deprecatedLastTimestamp")
        or event["metadata"].get("creationTimestamp")
        or ""
    )


def _heading(text: str) -> Iterator[Text]:
    yield Text("")
    yield Text(text, "bold")


def _field(name: str, value: str) -> Text:
    return Text(f"  {name:{FIELD_WIDTH}}", "dim").append(Text(value, ""))


def _moment(moment: dt.datetime, now: dt.datetime) -> str:
    return f"{moment.astimezone(now.tzinfo):%F %T %Z} ({format_distance(moment, now)})"


def _value(value: Any) -> str:
    return shorten(json.dumps(value, ensure_ascii=False))
