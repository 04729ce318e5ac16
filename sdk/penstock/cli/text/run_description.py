"""The output of `penstock describe` for a run: what happened in it, why, and what to do. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from penstock.api.duration import duration_s
from penstock.api.names import ANNOTATION_STARTED_FROM, ANNOTATION_TICK, LABEL_SCHEDULE
from penstock.cli.text.console import Text
from penstock.cli.text.description import (
    WARNING,
    deed_text,
    event_section,
    field,
    heading,
    moment_text,
    one_line,
    record_text,
    requested_by,
    value_text,
)
from penstock.cli.text.progress import has_more_to_run, is_finished, pending_actions, select_most_urgent
from penstock.cli.text.task_description import describe_task, reason_of
from penstock.drawing.state_styles import state_style
from penstock.drawing.task_rows import (
    FAILED_STATES,
    Object,
    TaskRow,
    format_duration,
    read_tasks,
    read_time,
    status_of,
)
from penstock.engine.audit import SHUTDOWN_DEEDS, read_decisions
from penstock.engine.compiler.plan import Plan
from penstock.engine.reasons import NO_ACTION, REASONS
from penstock.engine.suggestion import enumerate_names

MAX_TASKS: Final = 200
"""Tasks that are listed; `penstock get -o yaml` shows all."""
MAX_NAMED_TASKS: Final = 3
"""Failed tasks for which the next commands are shown."""
NO_LINK: Final[Callable[[str | None], str]] = lambda task: ""  # noqa: ARG005, E731 - the signature of a link


class _Advice(NamedTuple):
    reason: str
    tasks: str
    """The tasks that it is about, in parentheses; empty for the run itself."""
    text: str


def describe_run(
    run: Object,
    events: Sequence[Object],
    now: dt.datetime,
    hint: Callable[[str], str],
    *,
    plan: Plan | None = None,
    log_link: Callable[[str | None], str] = NO_LINK,
) -> Iterator[Text]:
    """Describe a run.

    Args:
        run: the FlowRun.
        events: the `events.k8s.io/v1` Events about it.
        now: the current time, in the time zone of the output.
        hint: returns the full command line of a command.
        plan: its compiled Flow, for budgets and time limits; None if it cannot be read.
        log_link: returns the link to the logs of a task, or of the run, in a log store; empty if there is none.
    """
    status = status_of(run)
    yield _title(run, now)
    # The tasks below have the whole message.
    if why := ": ".join(filter(None, (reason_of(status), one_line(status.get("message") or "")))):
        yield Text(f"  {why}", "bold")
    yield from (field(name, value) for name, value in _fields(run, now, plan))
    if link := log_link(None):
        yield field("logs", link)
    rows = read_tasks(run)
    yield from _task_sections(run, rows, now, plan, log_link)
    if outputs := status.get("outputs"):
        yield from heading("Outputs")
        yield from (Text(f"  {key}: {value_text(value)}") for key, value in outputs.items())
    yield from event_section(events, now)
    if advice := _advice(status):
        yield from heading("What to do")
        yield from (Text(f"  {each.reason}{each.tasks}: {each.text}") for each in advice)
    if commands := _commands(run, rows):
        yield from heading("Next commands")
        yield from (Text(f"  {hint(each)}") for each in commands)


def _task_sections(
    run: Object, rows: Sequence[TaskRow], now: dt.datetime, plan: Plan | None, log_link: Callable[[str | None], str]
) -> Iterator[Text]:
    entries = {task["name"]: task for task in status_of(run).get("tasks") or ()}
    shown, rest = select_most_urgent(rows, MAX_TASKS)
    width = max((len(row.name) for row in shown), default=0)
    for title, is_finally in (("Tasks", False), ("Finally", True)):
        part = [row for row in shown if row.is_finally is is_finally]
        if part:
            yield from heading(title)
        for row in part:
            task = plan.tasks[plan.positions[row.name]] if plan and row.name in plan.positions else None
            yield from describe_task(row, entries[row.name], width, now, task)
            if row.state in FAILED_STATES and (link := log_link(row.name)):
                yield Text(f"      logs: {link}", "dim")
    if rest:
        yield Text(f"  {rest}", "dim")


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


def _fields(run: Object, now: dt.datetime, plan: Plan | None) -> Iterator[tuple[str, str]]:
    yield from _origin_fields(run)
    yield from _requested_changes(run, now)
    metadata, spec, status = run["metadata"], run["spec"], status_of(run)
    for name, text in (
        ("created", metadata.get("creationTimestamp")),
        ("due", spec.get("scheduledTime")),
        ("started", status.get("startTime")),
        ("finished", status.get("completionTime")),
        ("paused", status.get("pausedSince")),
    ):
        if moment := read_time(text):
            yield name, moment_text(moment, now)
    if left := _time_left(run, now, plan):
        yield "time left", left


def _time_left(run: Object, now: dt.datetime, plan: Plan | None) -> str:
    """Return how long an active run may still take; its clock stands still while it is paused."""
    spec, status = run["spec"], status_of(run)
    text = spec.get("timeout")
    timeout_s = duration_s(text) if text else plan.timeout_s if plan else None
    start = read_time(status.get("startTime"))
    if timeout_s is None or start is None or is_finished(run):
        return ""
    paused_since = read_time(status.get("pausedSince"))
    used_s = ((paused_since or now) - start).total_seconds() - status.get("pausedMilliseconds", 0) / 1000
    return f"{format_duration(max(0.0, timeout_s - used_s))} of {format_duration(timeout_s)}"


def _origin_fields(run: Object) -> Iterator[tuple[str, str]]:
    """Return its Flow, params and origin."""
    metadata, spec, status = run["metadata"], run["spec"], status_of(run)
    flow = (spec.get("flow") or {}).get("name") or ("inline" if spec.get("flowSpec") else "")
    if flow or status.get("revision"):
        yield "flow", ", ".join(filter(None, (flow, status.get("revision") and f"revision {status['revision']}")))
    params = status.get("params") or spec.get("params") or {}
    for place, (name, value) in enumerate(params.items()):
        yield "" if place else "params", f"{name}: {value_text(value)}"
    if retried := spec.get("retryOf"):
        revision = "the current Flow" if retried.get("revision") == "Latest" else "the Flow revision of that run"
        again = [f"from {retried['from']}"] if retried.get("from") else []
        again += [f"items {retried['items']}"] if retried.get("items") else []
        again += ["restarts what completed"] if retried.get("restartCompleted") else []
        yield "retries", ", ".join([retried["name"], f"with {revision}", *again])
    if asked := requested_by(metadata):
        yield "asked by", asked
    if source := (metadata.get("annotations") or {}).get(ANNOTATION_STARTED_FROM):
        yield "started", f"from Schedule {source}, outside of its ticks"
    if tick := (metadata.get("annotations") or {}).get(ANNOTATION_TICK):
        yield "tick", tick
    owners = [f"{owner['kind']} {owner['name']}" for owner in metadata.get("ownerReferences") or ()]
    schedule = (metadata.get("labels") or {}).get(LABEL_SCHEDULE)
    yield from (("created by", creator) for creator in owners or ([f"Schedule {schedule}"] if schedule else []))


def _requested_changes(run: Object, now: dt.datetime) -> Iterator[tuple[str, str]]:
    """Return the settings that users can change, and who changed them."""
    metadata, spec, status = run["metadata"], run["spec"], status_of(run)
    yield from ((name, str(spec[name])) for name in ("priority", "timeout") if spec.get(name) is not None)
    if spec.get("suspend"):
        yield "suspended", ", ".join(filter(None, ("no new tasks start", deed_text(metadata, "suspended", now))))
    elif resumed := deed_text(metadata, "resumed", now):
        yield "resumed", resumed
    if shutdown := status.get("shutdown") or ({"mode": spec["shutdown"]} if spec.get("shutdown") else None):
        yield "shutdown", ": ".join(filter(None, (shutdown["mode"], shutdown.get("message") or shutdown.get("reason"))))
    for deed in SHUTDOWN_DEEDS.values():
        if done := deed_text(metadata, deed, now):
            yield deed, done
    decisions = read_decisions(metadata.get("annotations") or {})
    for decision in spec.get("approvals") or ():
        comment = f': "{decision["comment"]}"' if decision.get("comment") else ""
        record = decisions.get(decision["task"])
        by = f" {record_text(record.by, now)}" if record is not None else ""
        yield "decided", f"{decision['task']}: {decision['decision']}{by}{comment}"
    if status.get("queuePosition"):
        yield "queue", f"position {status['queuePosition']}"


def _advice(status: Mapping[str, Any]) -> list[_Advice]:
    """Return the advice for each reason in a status, once, with the tasks that it is about."""
    found: dict[str, list[str]] = {status["reason"]: []} if status.get("reason") else {}
    for task in status.get("tasks") or ():
        failed = (task.get("items") or {}).get("failed") or ()
        for reason in dict.fromkeys(each["reason"] for each in (task, *failed) if each.get("reason")):
            found.setdefault(reason, []).append(task["name"])
    texts = {str(reason): text.advice for reason, text in REASONS.items()}
    return [
        _Advice(reason, f" ({enumerate_names(tasks[:MAX_NAMED_TASKS])})" if tasks else "", texts[reason])
        for reason, tasks in found.items()
        if reason in texts and texts[reason] != NO_ACTION
    ]


def _commands(run: Object, rows: Sequence[TaskRow]) -> list[str]:
    name = run["metadata"]["name"]
    commands = [each for action in pending_actions(run) for each in action.commands]
    failed = [row for row in rows if row.state in FAILED_STATES and (row.attempt or row.items)]
    commands += [
        f"describe {row.run}" if row.run else f"logs {name} --task {row.name}" for row in failed[:MAX_NAMED_TASKS]
    ]
    if is_finished(run):
        return [*commands, *([f"retry {name}"] if has_more_to_run(run) else [])]
    return [*commands, f"watch {name}"]
