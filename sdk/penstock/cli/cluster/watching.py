"""Shows the progress of a run: a table on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from penstock.cli.cluster.access import Cluster
from penstock.cli.text.console import Console, Text
from penstock.cli.text.echo import echo
from penstock.cli.text.outcome import outcome_lines
from penstock.cli.text.progress import (
    changed_lines,
    exit_code_of,
    headline,
    is_finished,
    pending_actions,
    select_most_urgent,
)
from penstock.drawing.state_styles import state_style
from penstock.drawing.task_rows import Object, TaskRow, read_tasks, status_of
from penstock.errors import CommandError

REFRESHES_PER_S: Final = 4
"""For the durations; changes of the run are shown immediately."""


CHROME_LINES: Final = 6
"""Lines of the screen that are not task rows: headline, column names, summary of hidden rows and space."""


MAX_NAME_WIDTH: Final = 32


GAP: Final = 2


STATE_WIDTH: Final = len("● Completed")


TIME_WIDTH: Final = len("59m59s")


MIN_NAME_WIDTH: Final = 8


MIN_WHY_WIDTH: Final = 12
"""If less remains for this column, other columns are dropped."""


DROPPED_FIRST: Final = ("ATTEMPT", "TIME", "ITEMS")
"""Columns to drop on a narrow screen, in this order."""


def watch_run(cluster: Cluster, name: str, console: Console, *, quiet: bool = False) -> int:
    """Show a run until it has finished, and its outcome.

    Args:
        cluster: the cluster.
        name: name of the FlowRun.
        console: the output; a live table if it is a terminal, otherwise one line per change.
        quiet: whether to write only the outcome.

    Returns:
        The exit code: 0 if it is Completed, 3 if it was Skipped, else 1.

    Raises:
        CommandError: the run does not exist or was deleted, or the cluster cannot be reached.
        KeyboardInterrupt: Ctrl-C was pressed; a hint has been printed.
    """
    screen = _no_output() if quiet else _table(console, cluster) if console.is_terminal else _lines(console, cluster)
    run: Object = {}
    try:
        with screen as show, contextlib.closing(cluster.follow_run(name)) as states:
            family = RunAndChildren(cluster, show)
            for run in states:
                family.update(run)
                if is_finished(run):
                    break
    except KeyboardInterrupt:
        echo(f"FlowRun {name} continues; to cancel it: {cluster.hint(f'cancel {name}')}", is_error=True)
        raise
    for line in outcome_lines(run, _hint_for_task(run, cluster)):
        console.print(line, soft_wrap=True)
    return exit_code_of(run)


class RunAndChildren:
    """A run and its child runs, shown at each change.

    Args:
        cluster: the cluster.
        show: called with the run and its child runs by name.
    """

    def __init__(self, cluster: Cluster, show: Callable[[Object, dict[str, Object]], None]) -> None:
        self._cluster = cluster
        self._show = show
        self._lock = threading.Lock()
        self._run: Object = {}
        self._children: dict[str, Object] = {}
        self._follower: threading.Thread | None = None

    def update(self, run: Object) -> None:
        """Handle a change of the run."""
        with self._lock:
            self._run = run
            self._show(run, self._children)
        if self._follower is None and not is_finished(run) and any(row.run for row in read_tasks(run)):
            # A daemon: it blocks in reads that only the server can end.
            self._follower = threading.Thread(target=self._follow, args=(run["metadata"]["uid"],), daemon=True)
            self._follower.start()

    def _follow(self, uid: str) -> None:
        with contextlib.suppress(CommandError):  # the watch of the run raises the same error
            for event in self._cluster.follow_children(uid):
                with self._lock:
                    self._children[event.object["metadata"]["name"]] = event.object
                    if not is_finished(self._run):
                        self._show(self._run, self._children)


def build_table(
    run: Object,
    now: dt.datetime,
    *,
    width: int,
    height: int,
    children: Mapping[str, Object] | None = None,
    hint: Callable[[str], str] = "penstock {}".format,
) -> RenderableType:
    """Draw a run.

    Args:
        run: the FlowRun.
        now: the current time, for durations.
        width: width of the screen in columns.
        height: height of the screen in lines.
        children: its known child runs by name.
        hint: returns the full command line of a command.
    """
    actions = list(_pending_action_lines(run, children, hint))
    rows, rest = select_most_urgent(read_tasks(run, children), max(1, height - CHROME_LINES - len(actions)))
    # The outcome of a finished run is printed below; a title would repeat it.
    title = Text(headline(run, now), "bold", no_wrap=True, overflow="ellipsis")
    parts: list[RenderableType] = [] if is_finished(run) else [title]
    if rows:
        parts.append(_build_grid(rows, now, width))
    if rest:
        parts.append(Text(rest, "dim"))
    return Group(*parts, *actions)


def _pending_action_lines(
    run: Object, children: Mapping[str, Object] | None, hint: Callable[[str], str]
) -> Iterator[Text]:
    for action in pending_actions(run, children):
        yield Text(action.text, "bold yellow")
        for command_words in action.commands:
            yield Text(f"  {hint(command_words)}")


def _build_grid(rows: Sequence[TaskRow], now: dt.datetime, width: int) -> Table:
    name_width = min(MAX_NAME_WIDTH, max(len(row.name) for row in rows))
    widths = {
        "STATE": STATE_WIDTH,
        "ATTEMPT": len("ATTEMPT"),
        "ITEMS": max(len("ITEMS"), *(len(row.items) for row in rows)),
        "TIME": TIME_WIDTH,
    }
    for spared in DROPPED_FIRST:
        if name_width + sum(widths.values()) + GAP * (len(widths) + 1) + MIN_WHY_WIDTH > width:
            del widths[spared]
    others_width = sum(widths.values()) + GAP * (len(widths) + 1)
    name_width = max(MIN_NAME_WIDTH, min(name_width, width - others_width - MIN_WHY_WIDTH))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, GAP, 0, 0))
    table.add_column("TASK", no_wrap=True, overflow="ellipsis", max_width=name_width)
    for column, column_width in widths.items():
        justify: Literal["left", "right"] = "left" if column == "STATE" else "right"
        table.add_column(column, no_wrap=True, min_width=column_width, justify=justify)
    table.add_column("WHY", no_wrap=True)
    is_finally = False
    for row in rows:
        if row.is_finally and not is_finally:
            is_finally = True
            table.add_row(Text("finally", "dim"))
        sign, style = state_style(row.state)
        cells = {
            "STATE": Text(f"{sign} {row.state}", style),
            "ATTEMPT": Text(str(row.attempt or "")),
            "ITEMS": Text(row.items),
            "TIME": Text(row.duration(now)),
        }
        # Truncated here: rich would shrink the other columns of a table that is too wide.
        why = Text(row.why(now), "dim")
        why.truncate(max(len("WHY"), width - name_width - others_width), overflow="ellipsis")
        table.add_row(Text(row.name), *(cells[column] for column in widths), why)
    return table


@contextlib.contextmanager
def _table(console: Console, cluster: Cluster) -> Iterator[Callable[[Object, dict[str, Object]], None]]:
    shown: list[tuple[Object, dict[str, Object]]] = []

    def render() -> RenderableType:
        if not shown:
            return Text("")
        run, children = shown[-1]
        return build_table(
            run, _now(), width=console.width, height=console.height, children=dict(children), hint=cluster.hint
        )

    with Live(get_renderable=render, console=console, refresh_per_second=REFRESHES_PER_S) as live:

        def show(run: Object, children: dict[str, Object]) -> None:
            shown[:] = [(run, children)]
            live.refresh()

        yield show


@contextlib.contextmanager
def _lines(console: Console, cluster: Cluster) -> Iterator[Callable[[Object, dict[str, Object]], None]]:
    described: list[TaskRow] = []
    actions: set[str] = set()
    before: tuple[str, str | None, int | None] = ("", None, None)

    def write(line: str) -> None:
        # Not wrapped and without markup, for files, pipes and `grep`.
        console.print(Text(f"{_now().astimezone():%H:%M:%S}  {line}"), soft_wrap=True)

    def show(run: Object, children: dict[str, Object]) -> None:
        nonlocal before
        status = status_of(run)
        shown = (
            status.get("state", "unknown"),
            (status.get("shutdown") or {}).get("mode"),
            status.get("queuePosition"),
        )
        if shown != before and not is_finished(run):
            write(headline(run, _now()))
        before = shown
        rows = read_tasks(run, children)
        for line in changed_lines(described, rows):
            write(line)
        described[:] = rows
        current_actions = pending_actions(run, children)
        for action in current_actions:
            if action.text not in actions:
                write(f"{action.text}; run {' or '.join(cluster.hint(words) for words in action.commands)}")
        actions.clear()
        actions.update(action.text for action in current_actions)

    yield show


@contextlib.contextmanager
def _no_output() -> Iterator[Callable[[Object, dict[str, Object]], None]]:
    yield lambda run, children: None  # noqa: ARG005 - the signature of a screen


def _hint_for_task(run: Object, cluster: Cluster) -> Callable[[TaskRow], str]:
    def more(row: TaskRow) -> str:
        if row.run:
            return cluster.hint(f"describe {row.run}")
        if row.attempt or row.items:
            return cluster.hint(f"logs {run['metadata']['name']} --task {row.name}")
        return ""

    return more


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
