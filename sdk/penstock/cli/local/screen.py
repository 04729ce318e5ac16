"""Shows the progress of a local run line by line: output of tasks and changes of their state."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from penstock.api.names import LABEL_INDEX, LABEL_PARENT, LABEL_TASK
from penstock.cli.text.console import Console, Text
from penstock.cli.text.log_source import SEPARATOR, Source
from penstock.cli.text.outcome import outcome_lines
from penstock.cli.text.progress import changed_lines, headline, is_finished, waiting_tasks
from penstock.drawing.state_styles import state_style
from penstock.drawing.task_rows import Object, TaskRow, read_tasks, status_of
from penstock.local.pods.observers import Line

NEVER_STARTED: Final = frozenset({"Skipped"})


class PendingApproval(NamedTuple):
    """An approval that a task is waiting for."""

    run: str
    task: str
    message: str


class Screen:
    """Writes the progress of a run and its child runs.

    Args:
        console: the output.
        on_pending_approvals: called with the pending approvals whenever they may have changed.
    """

    def __init__(self, console: Console, on_pending_approvals: Callable[[list[PendingApproval]], None]) -> None:
        self._console = console
        self._on_pending_approvals = on_pending_approvals
        self._rows: dict[str, list[TaskRow]] = {}
        self._headlines: dict[str, tuple[Any, Any]] = {}
        self._paths: dict[str, str] = {}
        self._runs: dict[str, Object] = {}

    def print_note(self, text: str, style: str = "dim") -> None:
        """Write a line that is not from a task."""
        self._console.print(Text(text, style), soft_wrap=True)

    def on_line(self, line: Line) -> None:
        """Write a line of output of a task, prefixed with the task's name."""
        source = Source(line.task, -1 if line.item is None else line.item, line.attempt)
        # Output of a task is not wrapped, and its brackets are not markup.
        prefix = Text(f"{self._paths.get(line.run, '')}{source}{SEPARATOR}", "cyan")
        self._console.print(prefix + Text.from_ansi(line.text), soft_wrap=True)

    def on_run(self, run: Mapping[str, Any]) -> None:
        """Write what has changed in a run."""
        body = dict(run)
        name = body["metadata"]["name"]
        self._runs[name] = body
        path = self._paths.setdefault(name, self._path(body["metadata"]))
        rows = read_tasks(body)
        for line in changed_lines(self._rows.get(name, []), rows):
            state = line.split()[1]
            self._write(f"{path}{line}", state_style(state).style)
        self._rows[name] = rows
        self._print_headline(name, body)
        self._on_pending_approvals(
            [approval for each in self._runs.values() if not is_finished(each) for approval in pending_approvals(each)]
        )

    def print_outcome(self, run: Object) -> None:
        """Write the outcome of a run."""
        for line in outcome_lines(run, lambda row: ""):  # noqa: ARG005 - all logs have been shown already
            self._console.print(line, soft_wrap=True)

    def _print_headline(self, name: str, body: Object) -> None:
        status = status_of(body)
        shown = (status.get("state"), (status.get("shutdown") or {}).get("mode"))
        before, self._headlines[name] = self._headlines.get(name), shown
        is_changed = (shown != before and shown[0] in ("Queued", "Paused")) or (
            shown[1] and before and shown[1] != before[1]
        )
        if is_changed and not is_finished(body):
            self._write(headline(body, _now()))

    def _path(self, metadata: Mapping[str, Any]) -> str:
        """Return the prefix of task names of a run: empty, or the task of the parent run that started it."""
        labels = metadata.get("labels") or {}
        parent = labels.get(LABEL_PARENT)
        if parent is None:
            return ""
        return f"{self._paths.get(parent, '')}{Source(labels[LABEL_TASK], int(labels.get(LABEL_INDEX, -1)), 1)}/"

    def _write(self, text: str, style: str = "") -> None:
        self._console.print(Text(f"{_now().astimezone():%H:%M:%S}  {text}", style), soft_wrap=True)


def pending_approvals(run: Object) -> list[PendingApproval]:
    """Return the pending approvals of a run."""
    name = run["metadata"]["name"]
    return [PendingApproval(name, task["name"], task.get("message") or "") for task in waiting_tasks(run)]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
