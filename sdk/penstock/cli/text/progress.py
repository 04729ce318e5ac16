"""What a run's status says, as lines and rows for a person. Pure: nothing here reads a clock or a cluster."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from penstock.drawing.task_rows import (
    Object,
    TaskRow,
    explain_status,
    format_duration,
    read_time,
    shorten,
    status_of,
)
from penstock.engine.reasons import Reason

SUCCESSFUL_RUN_STATES: Final = frozenset({"Completed", "Skipped"})
_MOST_URGENT_FIRST: Final = ("Paused", "Failed", "Crashed", "TimedOut", "Cancelled", "Retrying", "Running", "Queued")
"""States of tasks that a screen too small for all of them shows first."""


class PendingAction(NamedTuple):
    """Something that waits for a person."""

    text: str
    commands: tuple[str, ...]
    """What can be typed, without the program's name."""


def is_finished(run: Object) -> bool:
    """Whether a FlowRun is over, well or not."""
    conditions = status_of(run).get("conditions") or ()
    return any(each["type"] == "Finished" and each["status"] == "True" for each in conditions)


def is_successful(run: Object) -> bool:
    """Whether a FlowRun is over, and well."""
    return status_of(run).get("state") in SUCCESSFUL_RUN_STATES


def headline(run: Object, now: dt.datetime) -> str:
    """Say in one line how a FlowRun is doing."""
    name, status = run["metadata"]["name"], status_of(run)
    if not status:
        return f"FlowRun {name} waits for the operator (is there one? penstock doctor says)"
    start, end = read_time(status.get("startTime")), read_time(status.get("completionTime"))
    parts = [f"FlowRun {name} {status['state']}"]
    due = read_time(run.get("spec", {}).get("scheduledTime"))
    if status["state"] == "Scheduled" and due:
        parts.append(
            f"starts in {format_duration((due - now).total_seconds())}, at {due.astimezone(now.tzinfo):%F %T %Z}"
        )
    if status["state"] == "Queued" and status.get("queuePosition"):
        parts.append(f"as number {status['queuePosition']}")
    if start:
        parts.append(f"{'in' if end else 'for'} {format_duration(((end or now) - start).total_seconds())}")
    if status.get("progress"):
        parts.append(f"({status['progress']} tasks over)")
    if not end and (shutdown := status.get("shutdown")):
        parts.append(f"ends early ({shutdown['mode']})")
    if why := explain_status(status):
        parts.append(f"- {why}")
    return " ".join(parts)


def changed_lines(before: Sequence[TaskRow], after: Sequence[TaskRow]) -> list[str]:
    """Describe each task that is no longer as it was.

    Args:
        before: the rows that were described last, empty at first.
        after: the rows now.

    Returns:
        One line for each task whose state, attempt or count of items differs; a task that waits to begin is no news.
    """
    known: Mapping[str, TaskRow] = {row.name: row for row in before}
    width = max((len(row.name) for row in after), default=0)
    return [
        _line(row, width)
        for row in after
        if _shown_values(row) != (_shown_values(known[row.name]) if row.name in known else ("Pending", None, ""))
    ]


def pending_actions(run: Object, children: Mapping[str, Object] | None = None) -> list[PendingAction]:
    """Say what a run and its child runs wait for that only a person can do.

    Args:
        run: the FlowRun.
        children: its child runs by name, as far as they are known.
    """
    found = []
    for each in (run, *(children or {}).values()):
        name = each["metadata"]["name"]
        if is_finished(each):
            continue
        if each.get("spec", {}).get("suspend"):
            found.append(PendingAction(f"FlowRun {name} is suspended: nothing new starts", (f"resume {name}",)))
        found += [_approval(name, task) for task in waiting_tasks(each)]
    return found


def waiting_tasks(run: Object) -> list[Mapping[str, Any]]:
    """Return the tasks of a run that wait for a decision, as its status has them."""
    decided = {each["task"] for each in run.get("spec", {}).get("approvals") or ()}
    return [
        task
        for task in status_of(run).get("tasks") or ()
        if task["state"] == "Paused" and task.get("reason") == Reason.AWAITING_APPROVAL and task["name"] not in decided
    ]


def _approval(run: str, task: Mapping[str, Any]) -> PendingAction:
    name, message = task["name"], task.get("message")
    asked = f": {shorten(' '.join(message.split()))}" if message else ""
    return PendingAction(
        f"{name} waits for a decision{asked}", (f"approve {run} {name}", f'reject {run} {name} -m "why"')
    )


def select_most_urgent(rows: Sequence[TaskRow], limit: int) -> tuple[list[TaskRow], str]:
    """Choose the rows that fit on a screen.

    Args:
        rows: all of them.
        limit: how many fit.

    Returns:
        The rows to show, in their order, and what to say of the others; empty if all fit.
    """
    if len(rows) <= limit:
        return list(rows), ""
    ranks = {state: rank for rank, state in enumerate(_MOST_URGENT_FIRST)}
    by_rank = sorted(range(len(rows)), key=lambda place: ranks.get(rows[place].state, len(ranks)))
    shown = set(by_rank[: max(0, limit - 1)])
    hidden = Counter(row.state for place, row in enumerate(rows) if place not in shown)
    rest = ", ".join(f"{count} {state}" for state, count in hidden.items())
    return [row for place, row in enumerate(rows) if place in shown], f"and {rest}"


def _shown_values(row: TaskRow) -> tuple[str, int | None, str]:
    return row.state, row.attempt if row.attempt != 1 else None, row.items


def _line(row: TaskRow, width: int) -> str:
    parts = [f"{row.name:{width}}  {row.state:9}"]
    if row.attempt and row.attempt > 1:
        parts.append(f"attempt {row.attempt}")
    if row.items:
        parts.append(row.items)
    if row.start and row.end:
        parts.append(format_duration((row.end - row.start).total_seconds()))
    if row.is_finally:
        parts.append("finally")
    if explanation := row.explanation():
        parts.append(explanation)
    return "  ".join(parts).rstrip()
