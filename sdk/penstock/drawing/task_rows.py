"""The tasks of a run as rows to show, read from its status. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from penstock.api.states import STATES
from penstock.engine.failure_message import headline

Object = dict[str, Any]
"""The JSON of a Kubernetes object."""


FINISHED_STATES: Final = frozenset(state for state, text in STATES.items() if text.is_final)


FAILED_STATES: Final = frozenset({"Failed", "TimedOut", "Cancelled", "Crashed"})


MAX_TEXT: Final = 240
"""Characters of a reason or an output that are shown; the status of the run has the full text."""


class TaskRow(NamedTuple):
    """One task."""

    name: str
    state: str
    attempt: int | None
    items: str
    """Finished and total items: `3/4, 1 failed`; empty for a task without items."""
    reason: str
    """Reason of its state, and the last line of the message, which names the exception of a traceback."""
    start: dt.datetime | None
    end: dt.datetime | None
    wake: dt.datetime | None
    """When the next attempt is due."""
    failed_items: tuple[str, ...]
    """The last failed items, each with its reason."""
    run: str = ""
    """Its child run."""
    origin: str = ""
    """The run that executed it: outputs came from the cache, or this run is a retry."""
    is_finally: bool = False

    def duration(self, now: dt.datetime) -> str:
        """Its duration until now, or until its end."""
        if self.start is None:
            return ""
        end = self.end or (None if self.state in FINISHED_STATES else now)
        return format_duration((end - self.start).total_seconds()) if end else ""

    def why(self, now: dt.datetime) -> str:
        """Reason of its state, and the time of the next attempt."""
        if self.state != "Retrying" or self.wake is None:
            return self.explanation()
        wait_s = max(0.0, (self.wake - now).total_seconds())
        return f"retry in {format_duration(wait_s)} after {self.explanation()}"

    def explanation(self) -> str:
        """Reason of its state, and the run that executes or executed it."""
        return ", ".join(part for part in (self.other_run(), self.reason) if part)

    def other_run(self) -> str:
        """The other run that executes or executed it."""
        return f"reused from run {self.origin}" if self.origin else f"run {self.run}" if self.run else ""


def format_duration(duration_s: float) -> str:
    """Format a duration: `<1s`, `42s`, `3m12s`, `2h05m`.

    Without fractions, since Kubernetes reports the times of containers in whole seconds.
    """
    minutes, seconds = divmod(round(max(0.0, duration_s)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours > 0:
        return f"{hours}h{minutes:02}m"
    if minutes > 0:
        return f"{minutes}m{seconds:02}s"
    return f"{seconds}s" if duration_s >= 1 else "<1s"


def shorten(text: str) -> str:
    """Truncate a long text."""
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def read_time(text: str | None) -> dt.datetime | None:
    """Read an RFC 3339 time of the API. The first and last years move by one: they do not exist in all time zones."""
    if not text:
        return None
    time = dt.datetime.fromisoformat(text)
    return time.replace(year=min(max(time.year, dt.MINYEAR + 1), dt.MAXYEAR - 1))


def read_tasks(run: Object, children: Mapping[str, Object] | None = None) -> list[TaskRow]:
    """Read the tasks of a FlowRun in the order of its spec; none until the operator has handled it.

    Args:
        run: the FlowRun.
        children: its known child runs by name, for their progress.
    """
    retried = status_of(run).get("retryOf") or {}
    ancestors = {retried.get("name"), *(retried.get("lineage") or ())}
    return [_read_task(task, children or {}, ancestors) for task in status_of(run).get("tasks") or ()]


def status_of(run: Object) -> dict[str, Any]:
    """Return the status of a FlowRun, empty until the operator has handled it."""
    return run.get("status") or {}


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
        reason=explain_status(task),
        start=min((time for time in map(read_time, starts) if time), default=None),
        end=read_time(task.get("completionTime")),
        wake=read_time(task.get("wakeTime")),
        failed_items=tuple(
            f"{task['name']}[{item.get('index')}] {explain_status(item)}"
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
    finished = sum(count for state, count in counts.items() if state in FINISHED_STATES)
    failed = sum(count for state, count in counts.items() if state in FAILED_STATES)
    parts = [f"{finished}/{items['total']}"]
    if failed:
        parts.append(f"{failed} failed")
    if retrying := counts.get("Retrying"):
        parts.append(f"{retrying} retrying")
    return ", ".join(parts)


def explain_status(status: Mapping[str, Any]) -> str:
    """Explain the state of a run, task or item: the reason, and the first line of the message."""
    return shorten(headline(status.get("reason"), status.get("message")))
