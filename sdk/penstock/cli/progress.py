"""What a run's status says, as lines and rows for a person. Pure: nothing here reads a clock or a cluster."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from penstock.api.states import STATES
from penstock.engine.reasons import Reason

Object = dict[str, Any]
"""A Kubernetes object, as its JSON."""

FINISHED_STATES: Final = frozenset(state for state, text in STATES.items() if text.is_final)
FAILED_STATES: Final = frozenset({"Failed", "TimedOut", "Cancelled", "Crashed"})
MAX_TEXT: Final = 240
"""Characters of a reason or an output that are shown; the whole of it is in the run's status."""
SUCCESSFUL_RUN_STATES: Final = frozenset({"Completed", "Skipped"})
_URGENCY: Final = ("Paused", "Failed", "Crashed", "TimedOut", "Cancelled", "Retrying", "Running", "Queued")
"""States of tasks that a screen too small for all of them shows first."""


class TaskRow(NamedTuple):
    """One task, as it is shown."""

    name: str
    state: str
    attempt: int | None
    items: str
    """Items that are over, of all: `3/4, 1 failed`; empty for a task without items."""
    reason: str
    """Why it is in its state: the reason, and the last line of the message, where an exception says what it is."""
    start: dt.datetime | None
    end: dt.datetime | None
    wake: dt.datetime | None
    """When the next attempt is due."""
    failed_items: tuple[str, ...]
    """The last items that failed, each with why."""
    run: str = ""
    """Its child run."""
    origin: str = ""
    """The run that did it: whose outputs were cached, or that this one retries."""
    is_finally: bool = False

    def duration(self, now: dt.datetime) -> str:
        """How long it has been running, or ran."""
        if self.start is None:
            return ""
        end = self.end or (None if self.state in FINISHED_STATES else now)
        return format_duration((end - self.start).total_seconds()) if end else ""

    def why(self, now: dt.datetime) -> str:
        """Why it is in its state, and when something will happen next."""
        if self.state != "Retrying" or self.wake is None:
            return self.explanation()
        wait_s = max(0.0, (self.wake - now).total_seconds())
        return f"again in {format_duration(wait_s)} after {self.explanation()}"

    def explanation(self) -> str:
        """Why it is in its state, and which other run has to do with that."""
        return ", ".join(part for part in (self.other_run(), self.reason) if part)

    def other_run(self) -> str:
        """Which other run did it or does it."""
        return f"done by run {self.origin}" if self.origin else f"run {self.run}" if self.run else ""


class Request(NamedTuple):
    """Something that waits for a person."""

    text: str
    commands: tuple[str, ...]
    """What can be typed, without the program's name."""


def format_duration(duration_s: float) -> str:
    """Write a duration in seconds the way people read it: `<1s`, `42s`, `3m12s`, `2h05m`.

    No fractions: Kubernetes tells the times of containers in whole seconds.
    """
    minutes, seconds = divmod(round(max(0.0, duration_s)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours > 0:
        return f"{hours}h{minutes:02}m"
    if minutes > 0:
        return f"{minutes}m{seconds:02}s"
    return f"{seconds}s" if duration_s >= 1 else "<1s"


def shorten(text: str) -> str:
    """Cut what is too long to be read at a glance."""
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def read_time(text: str | None) -> dt.datetime | None:
    """Read a time of the API, as RFC 3339 has it."""
    return dt.datetime.fromisoformat(text) if text else None


def read_tasks(run: Object, children: Mapping[str, Object] | None = None) -> list[TaskRow]:
    """Read the tasks of a FlowRun, in the order of its spec; none until the operator has seen it.

    Args:
        run: the FlowRun.
        children: its child runs by name, as far as they are known: how far they are.
    """
    retried = status_of(run).get("retryOf") or {}
    ancestors = {retried.get("name"), *(retried.get("lineage") or ())}
    return [_read_task(task, children or {}, ancestors) for task in status_of(run).get("tasks") or ()]


def status_of(run: Object) -> dict[str, Any]:
    """Return the status of a FlowRun, empty until the operator has seen it."""
    return run.get("status") or {}


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
    if why := _why(status):
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
        if _news(row) != (_news(known[row.name]) if row.name in known else ("Pending", None, ""))
    ]


def requests(run: Object, children: Mapping[str, Object] | None = None) -> list[Request]:
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
            found.append(Request(f"FlowRun {name} is suspended: nothing new starts", (f"resume {name}",)))
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


def _approval(run: str, task: Mapping[str, Any]) -> Request:
    name, message = task["name"], task.get("message")
    asked = f": {shorten(' '.join(message.split()))}" if message else ""
    return Request(f"{name} waits for a decision{asked}", (f"approve {run} {name}", f'reject {run} {name} -m "why"'))


def most_urgent(rows: Sequence[TaskRow], limit: int) -> tuple[list[TaskRow], str]:
    """Choose the rows that fit on a screen.

    Args:
        rows: all of them.
        limit: how many fit.

    Returns:
        The rows to show, in their order, and what to say of the others; empty if all fit.
    """
    if len(rows) <= limit:
        return list(rows), ""
    ranks = {state: rank for rank, state in enumerate(_URGENCY)}
    by_rank = sorted(range(len(rows)), key=lambda place: ranks.get(rows[place].state, len(ranks)))
    shown = set(by_rank[: max(0, limit - 1)])
    hidden = Counter(row.state for place, row in enumerate(rows) if place not in shown)
    rest = ", ".join(f"{count} {state}" for state, count in hidden.items())
    return [row for place, row in enumerate(rows) if place in shown], f"and {rest}"


def _read_task(task: Mapping[str, Any], children: Mapping[str, Object], ancestors: Collection[str | None]) -> TaskRow:
    other = task.get("run", "")
    is_done_by_other = bool(other) and (task["state"] == "Cached" or other in ancestors)
    child = status_of(children.get(other, {}))
    starts = [task.get("startTime"), *(attempt.get("startTime") for attempt in task.get("attempts") or ())]
    return TaskRow(
        name=task["name"],
        state=task["state"],
        attempt=task.get("attempt"),
        items=_read_items(task.get("items")) or child.get("progress", ""),
        reason=_why(task),
        start=min((time for time in map(read_time, starts) if time), default=None),
        end=read_time(task.get("completionTime")),
        wake=read_time(task.get("wakeTime")),
        failed_items=tuple(
            f"{task['name']}[{item.get('index')}] {_why(item)}"
            for item in (task.get("items") or {}).get("failed") or ()
        ),
        run="" if is_done_by_other else other,
        origin=other if is_done_by_other else "",
        is_finally=bool(task.get("finally")),
    )


def _read_items(items: Mapping[str, Any] | None) -> str:
    if items is None:
        return ""
    counts = items.get("counts") or {}
    over = sum(count for state, count in counts.items() if state in FINISHED_STATES)
    failed = sum(count for state, count in counts.items() if state in FAILED_STATES)
    parts = [f"{over}/{items['total']}"]
    if failed:
        parts.append(f"{failed} failed")
    if retrying := counts.get("Retrying"):
        parts.append(f"{retrying} retrying")
    return ", ".join(parts)


def _why(status: Mapping[str, Any]) -> str:
    lines = [line.strip() for line in (status.get("message") or "").splitlines() if line.strip()]
    parts = [status.get("reason") or "", lines[-1] if lines else ""]
    return shorten(": ".join(part for part in parts if part))


def _news(row: TaskRow) -> tuple[str, int | None, str]:
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
