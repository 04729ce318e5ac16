"""A run on this machine as it goes: what its tasks write and what becomes of them, line by line."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.text import Text

from penstock.api.names import LABEL_INDEX, LABEL_PARENT, LABEL_TASK
from penstock.cli.text.log_source import SEPARATOR, Source
from penstock.cli.text.outcome import outcome_lines
from penstock.cli.text.progress import changed_lines, headline, is_finished, waiting_tasks
from penstock.drawing.state_styles import state_style
from penstock.drawing.task_rows import Object, TaskRow, read_tasks, status_of
from penstock.local.pods.executor import Line

NEVER_STARTED: Final = frozenset({"Skipped"})


class PendingApproval(NamedTuple):
    """An approval that waits for a person."""

    run: str
    task: str
    message: str


class Screen:
    """Writes what goes on.

    Args:
        console: where to.
        ask: takes what waits for a person just now, whenever that may have changed.
    """

    def __init__(self, console: Console, on_pending_approvals: Callable[[list[PendingApproval]], None]) -> None:
        self._console = console
        self._on_pending_approvals = on_pending_approvals
        self._rows: dict[str, list[TaskRow]] = {}
        self._headlines: dict[str, tuple[Any, Any]] = {}
        self._paths: dict[str, str] = {}
        self._runs: dict[str, Object] = {}

    def print_note(self, text: str, style: str = "dim") -> None:
        """Write a line of our own."""
        self._console.print(Text(text, style), soft_wrap=True)

    def hear(self, line: Line) -> None:
        """Write a line of a task, with its name before it."""
        source = Source(line.task, -1 if line.item is None else line.item, line.attempt)
        # What a task writes is the task's: neither wrapped nor marked up.
        prefix = Text(f"{self._paths.get(line.run, '')}{source}{SEPARATOR}", "cyan")
        self._console.print(prefix + Text.from_ansi(line.text), soft_wrap=True)

    def see(self, run: Mapping[str, Any]) -> None:
        """Write what has changed about a run."""
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

    def end(self, run: Object) -> None:
        """Write how a run ended."""
        for line in outcome_lines(run, lambda row: ""):  # noqa: ARG005 - all that there was has been shown
            self._console.print(line, soft_wrap=True)

    def _print_headline(self, name: str, body: Object) -> None:
        status = status_of(body)
        head = (status.get("state"), (status.get("shutdown") or {}).get("mode"))
        before, self._headlines[name] = self._headlines.get(name), head
        is_news = (head != before and head[0] in ("Queued", "Paused")) or (head[1] and before and head[1] != before[1])
        if is_news and not is_finished(body):
            self._write(headline(body, _now()))

    def _path(self, metadata: Mapping[str, Any]) -> str:
        """Return what stands before the names of a run's tasks: nothing, or the task of its parent."""
        labels = metadata.get("labels") or {}
        parent = labels.get(LABEL_PARENT)
        if parent is None:
            return ""
        return f"{self._paths.get(parent, '')}{Source(labels[LABEL_TASK], int(labels.get(LABEL_INDEX, -1)), 1)}/"

    def _write(self, text: str, style: str = "") -> None:
        self._console.print(Text(f"{_now().astimezone():%H:%M:%S}  {text}", style), soft_wrap=True)


def pending_approvals(run: Object) -> list[PendingApproval]:
    """Return what of a run waits for a person."""
    name = run["metadata"]["name"]
    return [PendingApproval(name, task["name"], task.get("message") or "") for task in waiting_tasks(run)]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
