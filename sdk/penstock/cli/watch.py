"""`penstock watch`: a run as it goes, as a table on a terminal and as lines elsewhere."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from penstock.cli.cluster import Cluster
from penstock.cli.progress import (
    FAILED_STATES,
    Object,
    TaskRow,
    changed_lines,
    headline,
    is_completed,
    is_finished,
    most_urgent,
    read_tasks,
    shorten,
    status_of,
)

REFRESHES_PER_S: Final = 4
"""Of the running times; what the run does is shown when it happens."""
CHROME_LINES: Final = 6
"""Lines of the screen that are no rows: headline, column names, rest and space."""
MAX_FAILED_ITEMS: Final = 3
MAX_NAME_WIDTH: Final = 32
GAP: Final = 2
STATE_WIDTH: Final = len("● Completed")
TIME_WIDTH: Final = len("59m59s")
LOOKS: Final = {
    "Pending": ("·", "dim"),
    "Queued": ("◌", "yellow"),
    "Running": ("●", "cyan"),
    "Retrying": ("↻", "yellow"),
    "Completed": ("✓", "green"),
    "Skipped": ("-", "dim"),
    "Failed": ("✗", "bold red"),
    "TimedOut": ("✗", "bold red"),
    "Cancelled": ("✗", "magenta"),
    "Crashed": ("✗", "bold red"),
}
"""Sign and style of each state."""


def command(arguments: argparse.Namespace) -> int:
    """Show a run until it is over."""
    return watch_run(Cluster.connect(arguments), arguments.run, Console(highlight=False))


def watch_run(cluster: Cluster, name: str, console: Console, *, quiet: bool = False) -> int:
    """Show a run until it is over, and how it ended.

    Args:
        cluster: where it runs.
        name: name of the FlowRun.
        console: where to write; a table that changes if it is a terminal, otherwise one line for each change.
        quiet: whether to write only how it ended.

    Returns:
        The exit code: 0 if it completed, 1 if not.

    Raises:
        CommandError: there is no such run, or it was deleted, or the cluster can't be reached.
    """
    screen = _silence() if quiet else _table(console) if console.is_terminal else _lines(console)
    run: Object = {}
    with screen as show, contextlib.closing(cluster.follow_run(name)) as states:
        for run in states:
            show(run)
            if is_finished(run):
                break
    for line in _ending(run):
        console.print(line, soft_wrap=True)
    return 0 if is_completed(run) else 1


def build_table(run: Object, now: dt.datetime, *, width: int, height: int) -> RenderableType:
    """Draw a run.

    Args:
        run: the FlowRun.
        now: the time, for what is still running.
        width: columns that the screen has.
        height: lines that it has.
    """
    rows, rest = most_urgent(read_tasks(run), max(1, height - CHROME_LINES))
    # Its end says how it ended, below: above the table it would stand there twice.
    parts: list[RenderableType] = [] if is_finished(run) else [Text(headline(run, now), "bold", no_wrap=True)]
    if rows:
        parts.append(_build_grid(rows, now, width))
    if rest:
        parts.append(Text(rest, "dim"))
    return Group(*parts)


def _build_grid(rows: Sequence[TaskRow], now: dt.datetime, width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, GAP, 0, 0))
    table.add_column("TASK", no_wrap=True, overflow="ellipsis", max_width=MAX_NAME_WIDTH)
    table.add_column("STATE", no_wrap=True, min_width=STATE_WIDTH)
    table.add_column("ATTEMPT", no_wrap=True, justify="right")
    table.add_column("ITEMS", no_wrap=True, justify="right")
    table.add_column("TIME", no_wrap=True, min_width=TIME_WIDTH, justify="right")
    table.add_column("WHY", no_wrap=True)
    names_width = min(MAX_NAME_WIDTH, max(len(row.name) for row in rows))
    items_width = max(len("ITEMS"), *(len(row.items) for row in rows))
    others_width = names_width + STATE_WIDTH + len("ATTEMPT") + items_width + TIME_WIDTH + 5 * GAP
    for row in rows:
        sign, style = LOOKS[row.state]
        # Cut here, because a table that is too wide for the screen would shrink its other columns to nothing.
        why = Text(row.why(now), "dim")
        why.truncate(max(len("WHY"), width - others_width), overflow="ellipsis")
        table.add_row(
            Text(row.name),
            Text(f"{sign} {row.state}", style),
            str(row.attempt or ""),
            row.items,
            row.duration(now),
            why,
        )
    return table


@contextlib.contextmanager
def _table(console: Console) -> Iterator[Callable[[Object], None]]:
    shown: list[Object] = []

    def render() -> RenderableType:
        return build_table(shown[-1], _now(), width=console.width, height=console.height) if shown else Text("")

    with Live(get_renderable=render, console=console, refresh_per_second=REFRESHES_PER_S) as live:

        def show(run: Object) -> None:
            shown[:] = [run]
            live.refresh()

        yield show


@contextlib.contextmanager
def _lines(console: Console) -> Iterator[Callable[[Object], None]]:
    described: list[TaskRow] = []
    state = ""

    def write(line: str) -> None:
        # Not wrapped and not marked up: these lines are for files, pipes and `grep`.
        console.print(Text(f"{_now().astimezone():%H:%M:%S}  {line}"), soft_wrap=True)

    def show(run: Object) -> None:
        nonlocal state
        if status_of(run).get("state", "unseen") != state and not is_finished(run):
            write(headline(run, _now()))
        state = status_of(run).get("state", "unseen")
        rows = read_tasks(run)
        for line in changed_lines(described, rows):
            write(line)
        described[:] = rows

    yield show


@contextlib.contextmanager
def _silence() -> Iterator[Callable[[Object], None]]:
    yield lambda run: None  # noqa: ARG005 - a screen is shown the run


def _ending(run: Object) -> Iterator[Text]:
    name, namespace = run["metadata"]["name"], run["metadata"]["namespace"]
    for key, value in (status_of(run).get("outputs") or {}).items():
        yield Text(f"  {key}: {shorten(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))}")
    for row in read_tasks(run):
        if row.state in FAILED_STATES:
            yield Text(f"  {row.name} {row.state} {row.reason}".rstrip(), "red")
            for failed in row.failed_items[-MAX_FAILED_ITEMS:]:
                yield Text(f"    {failed}", "red")
            if row.attempt or row.items:
                yield Text(f"  more: penstock logs {name} -n {namespace} --task {row.name}")
    yield Text(headline(run, _now()), "bold green" if is_completed(run) else "bold red")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
