"""A task in the output of `penstock describe`. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any, Final

from penstock.cli.text.console import Text
from penstock.cli.text.times import format_distance
from penstock.drawing.state_styles import state_style
from penstock.drawing.task_rows import FAILED_STATES, TaskRow, explain_status, format_duration, read_time
from penstock.engine.compiler.task_plan import TaskPlan
from penstock.engine.reasons import Reason

MAX_MESSAGE_LINES: Final = 10
MAX_LIVE_ITEMS: Final = 10
INDENT: Final = " " * 6
ACTIVE: Final = frozenset({"Running", "Retrying", "Pending", "Queued"})


def describe_task(
    row: TaskRow, entry: Mapping[str, Any], width: int, now: dt.datetime, plan: TaskPlan | None
) -> Iterator[Text]:
    """Describe a task.

    Args:
        row: the task.
        entry: its entry in the status of the run.
        width: of the column of names.
        now: the current time, in the time zone of the output.
        plan: the compiled task, for its budgets and time limits; None if it is not known.
    """
    sign, style = state_style(row.state)
    line = Text("  ").append(f"{sign} ", style).append(f"{row.name:{width}}  ").append(row.state, style)
    line.append("".join(f", {part}" for part in _facts(row, entry, now, plan)))
    yield line
    if entry.get("pod") and row.state not in {"Completed", "Cached", "Skipped"}:
        node = f" on node {entry['node']}" if entry.get("node") else ""
        yield Text(f"{INDENT}Pod {entry['pod']}{node}", "dim")
    for attempt in entry.get("attempts") or ():
        yield Text(f"{INDENT}attempt {attempt['attempt']}{_attempt(attempt, now)}", "dim")
    items = entry.get("items") or {}
    for text in _live_items(items, now, plan):
        yield Text(f"{INDENT}{text}", "dim")
    for failed in items.get("failed") or ():
        yield Text(f"{INDENT}item {failed.get('index')}, attempt {failed['attempt']}{_attempt(failed, now)}", "red")
    for part in _message_lines(entry):
        yield Text(f"{INDENT}{part}", "red" if row.state in FAILED_STATES else "")


def reason_of(status: Mapping[str, Any]) -> str:
    """Return the reason of a run, task or attempt, with the exit code."""
    reason = status.get("reason") or ""
    return f"{reason} {status['exitCode']}" if reason == Reason.EXIT_CODE and "exitCode" in status else reason


def _facts(row: TaskRow, entry: Mapping[str, Any], now: dt.datetime, plan: TaskPlan | None) -> Iterator[str]:
    if row.items:
        yield row.items
    if row.state in ACTIVE and plan is not None and plan.retry.limit and not row.items:
        yield _retries_left(entry, plan)
    elif (row.attempt or 0) > 1 or entry.get("attempts"):
        yield f"attempt {row.attempt}"
    if duration := row.duration(now):
        yield duration
    if not row.items:
        yield from _limits(row.state, entry, now, plan)
    if other := row.other_run():
        yield other
    if row.state == "Retrying" and row.wake:
        yield _next_attempt(row.wake, now)


def _live_items(items: Mapping[str, Any], now: dt.datetime, plan: TaskPlan | None) -> Iterator[str]:
    """Describe the items of a fan-out that have started and have not finished: first those that have failed before."""
    live = sorted(items.get("live") or (), key=_urgency)
    for item in live[:MAX_LIVE_ITEMS]:
        yield f"item {item['index']}, " + ", ".join(_item_facts(item, now, plan))
    if len(live) > MAX_LIVE_ITEMS:
        yield f"and {len(live) - MAX_LIVE_ITEMS} more items that have started and have not finished"


def _urgency(item: Mapping[str, Any]) -> tuple[bool, int, int]:
    failed = item.get("failures", 0) + item.get("disruptions", 0)
    return item.get("state") != "Retrying", -failed, item["index"]


def _item_facts(item: Mapping[str, Any], now: dt.datetime, plan: TaskPlan | None) -> Iterator[str]:
    state = item.get("state") or "Pending"
    started, wake = read_time(item.get("startTime")), read_time(item.get("wakeTime"))
    yield state
    yield _retries_left(item, plan) if plan is not None and plan.retry.limit else f"attempt {item['attempt']}"
    if state == "Running" and started:
        yield format_duration((now - started).total_seconds())
    yield from _limits(state, item, now, plan)
    if state == "Retrying" and wake:
        yield _next_attempt(wake, now)


def _retries_left(entry: Mapping[str, Any], plan: TaskPlan) -> str:
    left = max(0, plan.retry.limit - entry.get("failures", 0))
    return f"attempt {entry.get('attempt') or 1}, {left} of {plan.retry.limit} retries left"


def _next_attempt(wake: dt.datetime, now: dt.datetime) -> str:
    return f"retry {format_distance(wake, now)}, at {wake.astimezone(now.tzinfo):%T}"


def _limits(state: str, entry: Mapping[str, Any], now: dt.datetime, plan: TaskPlan | None) -> Iterator[str]:
    """Return how long a task, or an item, may still take."""
    if plan is None or state not in ACTIVE:
        return
    begun, started = read_time(entry.get("beginTime")), read_time(entry.get("startTime"))
    if state == "Running" and started and plan.timeout_s is not None:
        left_s = plan.timeout_s - (now - started).total_seconds()
        yield f"{format_duration(left_s)} of its timeout {format_duration(plan.timeout_s)} left"
    if begun and plan.deadline_s is not None:
        yield f"{format_duration(plan.deadline_s - (now - begun).total_seconds())} to its deadline"


def _attempt(attempt: Mapping[str, Any], now: dt.datetime) -> str:
    start, end = read_time(attempt.get("startTime")), read_time(attempt.get("completionTime"))
    parts = [f" at {start.astimezone(now.tzinfo):%T}"] if start else []
    if start and end:
        parts.append(f" for {format_duration((end - start).total_seconds())}")
    why = explain_status(attempt)
    return "".join(parts) + (f", {why}" if why else "")


def _message_lines(entry: Mapping[str, Any]) -> list[str]:
    """Return the reason, and the message; of a long one its first line and its end."""
    message = (entry.get("message") or "").strip()
    why = ": ".join(filter(None, (reason_of(entry), message)))
    lines = [part.rstrip() for part in why.splitlines() if part.strip()]
    if len(lines) <= MAX_MESSAGE_LINES:
        return lines
    return [lines[0], "…", *lines[2 - MAX_MESSAGE_LINES :]]
