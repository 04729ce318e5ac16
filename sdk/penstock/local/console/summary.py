"""The summary at the end of a run: how often each task ran, and in which states its runs ended."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from typing import Final

from penstock.authoring.loggers import FLOW_LOGGER
from penstock.authoring.runs.context import logger_of
from penstock.local.console.log import is_terminal
from penstock.local.session import Session
from penstock.local.task_counts import TaskTally

GOOD: Final = frozenset({"Completed", "Cached"})
HEADER: Final = ("TASK", "RUNS", "STATES", "RETRIES", "MEAN")


def log_summary(session: Session) -> None:
    """Log the final state of a flow run, and for the outermost run a table of its tasks."""
    run = session.run
    state = run.state
    logger = logger_of(run, state_name=state.name)
    level = logging.INFO if state.is_completed() else logging.ERROR
    if not FLOW_LOGGER.isEnabledFor(level):
        return
    text = f"{state.name}: {state.message}" if state.message else state.name
    logger.log(level, "%s (%s)", text, duration(time.time() - run.started_time))
    if session.parent is not None:
        return
    rows = [cells(tally) for tally in session.tally.task_rows(run.flow_name)]
    if not rows:
        return
    if is_terminal() and any(
        getattr(each, "stream", None) is sys.stderr for each in logging.getLogger("penstock").handlers
    ):
        _show_table(rows)
    else:
        for line in lines(rows):
            logger.log(logging.INFO, "%s", line)


def cells(tally: TaskTally) -> tuple[str, ...]:
    """Return the row of a task."""
    runs = sum(tally.states.values())
    states = ", ".join(f"{count} {state}" for state, count in tally.states.items())
    return tally.name, str(runs), states, str(tally.retries or ""), duration(tally.total_s / runs)


def lines(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return aligned rows below a header."""
    table = [HEADER, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADER))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def duration(duration_s: float) -> str:
    """Return a duration as text: `12ms`, `3.4s`, `2m05s`."""
    if duration_s < 1:
        return f"{duration_s * 1000:.0f}ms"
    if duration_s < 60:  # noqa: PLR2004 - a minute
        return f"{duration_s:.1f}s"
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"


def _show_table(rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - needed at a terminal only
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in HEADER:
        table.add_column(title, justify="right" if title in {"RUNS", "RETRIES", "MEAN"} else "left")
    for name, runs, states, retries, mean in rows:
        is_good = all(part.split()[-1] in GOOD for part in states.split(", "))
        table.add_row(Text(name), runs, Text(states, style="green" if is_good else "red"), retries, mean)
    Console(stderr=True).print(table)
