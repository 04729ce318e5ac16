"""The status of a run as lines of text. Pure: nothing here reads a clock or a cluster."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from penstock.cli.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_SKIPPED
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
WAITING_STATES: Final = frozenset({"Pending", "Queued"})
"""States of tasks that have not started."""
_MOST_URGENT_FIRST: Final = ("Paused", "Failed", "Crashed", "TimedOut", "Cancelled", "Retrying", "Running", "Queued")
"""Task states by priority on a screen that is too small for all tasks."""


class PendingAction(NamedTuple):
    """Something that only a user can do."""

    text: str
    commands: tuple[str, ...]
    """Commands for it, without the name of the program."""


def is_finished(run: Object) -> bool:
    """Whether a FlowRun has finished, successfully or not."""
    conditions = status_of(run).get("conditions") or ()
    return any(each["type"] == "Finished" and each["status"] == "True" for each in conditions)


def is_successful(run: Object) -> bool:
    """Whether a FlowRun has finished successfully."""
    return status_of(run).get("state") in SUCCESSFUL_RUN_STATES


def has_more_to_run(run: Object) -> bool:
    """Whether a plain retry of a finished FlowRun runs anything: it did not succeed, or nothing of it was done."""
    return status_of(run).get("state") != "Completed"


def exit_code_of(run: Object) -> int:
    """Return the exit code that a finished FlowRun gives a command that waits for it."""
    if status_of(run).get("state") == "Skipped":
        return EXIT_SKIPPED
    return EXIT_OK if is_successful(run) else EXIT_FAILED


def headline(run: Object, now: dt.datetime) -> str:
    """Return the state of a FlowRun as one line."""
    name, status = run["metadata"]["name"], status_of(run)
    if not status:
        return f"FlowRun {name} is waiting for the operator; if this persists, run penstock doctor"
    start, end = read_time(status.get("startTime")), read_time(status.get("completionTime"))
    parts = [f"FlowRun {name} {status['state']}"]
    due = read_time(run.get("spec", {}).get("scheduledTime"))
    if status["state"] == "Scheduled" and due:
        parts.append(
            f"starts in {format_duration((due - now).total_seconds())}, at {due.astimezone(now.tzinfo):%F %T %Z}"
        )
    if status["state"] == "Queued" and status.get("queuePosition"):
        parts.append(f"at position {status['queuePosition']}")
    if start:
        parts.append(f"{'in' if end else 'for'} {format_duration(((end or now) - start).total_seconds())}")
    if status.get("progress"):
        parts.append(f"({status['progress']} tasks finished)")
    if not end and (shutdown := status.get("shutdown")):
        parts.append(f"shutting down ({shutdown['mode']})")
    if why := explain_status(status):
        parts.append(f"- {why}")
    return " ".join(parts)


def changed_lines(before: Sequence[TaskRow], after: Sequence[TaskRow]) -> list[str]:
    """Describe each task that has changed.

    Args:
        before: the previous rows, empty at first.
        after: the current rows.

    Returns:
        One line for each task whose state, attempt or count of items differs, or the reason why it cannot start. A new
        Pending task without a reason is not a change.
    """
    known: Mapping[str, TaskRow] = {row.name: row for row in before}
    width = max((len(row.name) for row in after), default=0)
    return [
        _line(row, width)
        for row in after
        if _shown_values(row) != (_shown_values(known[row.name]) if row.name in known else ("Pending", None, "", ""))
    ]


def pending_actions(run: Object, children: Mapping[str, Object] | None = None) -> list[PendingAction]:
    """Return what a run and its child runs are waiting for a user to do.

    Args:
        run: the FlowRun.
        children: its known child runs by name.
    """
    found = []
    for each in (run, *(children or {}).values()):
        name = each["metadata"]["name"]
        if is_finished(each):
            continue
        if each.get("spec", {}).get("suspend"):
            found.append(PendingAction(f"FlowRun {name} is suspended: no new tasks start", (f"resume {name}",)))
        found += [_approval(name, task) for task in waiting_tasks(each)]
    return found


def waiting_tasks(run: Object) -> list[Mapping[str, Any]]:
    """Return the entries in the status of a run of the tasks that are waiting for approval."""
    decided = {each["task"] for each in run.get("spec", {}).get("approvals") or ()}
    return [
        task
        for task in status_of(run).get("tasks") or ()
        if task["state"] == "Paused" and task.get("reason") == Reason.AWAITING_APPROVAL and task["name"] not in decided
    ]


def _approval(run: str, task: Mapping[str, Any]) -> PendingAction:
    name, message = task["name"], task.get("message")
    text = f": {shorten(' '.join(message.split()))}" if message else ""
    return PendingAction(
        f"{name} is waiting for approval{text}", (f"approve {run} {name}", f'reject {run} {name} -m "why"')
    )


def select_most_urgent(rows: Sequence[TaskRow], limit: int) -> tuple[list[TaskRow], str]:
    """Select the rows that fit on a screen.

    Args:
        rows: all rows.
        limit: maximum number of lines.

    Returns:
        The rows to show, in their order, and a summary of the others; empty if all fit.
    """
    if len(rows) <= limit:
        return list(rows), ""
    ranks = {state: rank for rank, state in enumerate(_MOST_URGENT_FIRST)}
    by_rank = sorted(range(len(rows)), key=lambda place: ranks.get(rows[place].state, len(ranks)))
    shown = set(by_rank[: max(0, limit - 1)])
    hidden = Counter(row.state for place, row in enumerate(rows) if place not in shown)
    rest = ", ".join(f"{count} {state}" for state, count in hidden.items())
    return [row for place, row in enumerate(rows) if place in shown], f"and {rest}"


def _shown_values(row: TaskRow) -> tuple[str, int | None, str, str]:
    # The words after the reason may change with every look of the scheduler.
    waits_for = row.reason.partition(":")[0] if row.state in WAITING_STATES else ""
    return row.state, row.attempt if row.attempt != 1 else None, row.items, waits_for


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
