"""The outcome of a run: the last lines of watch and of a local run."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Final

from penstock.cli.text.console import Text
from penstock.cli.text.progress import headline, is_successful
from penstock.drawing.task_rows import FAILED_STATES, Object, TaskRow, read_tasks, shorten, status_of

MAX_FAILED_ITEMS: Final = 3


def outcome_lines(run: Object, hint_for_task: Callable[[TaskRow], str]) -> Iterator[Text]:
    """Return the outputs, the failed tasks and the final state of a run.

    Args:
        run: the finished FlowRun.
        hint_for_task: returns the command that says more about a task that failed; empty if there is none.
    """
    for key, value in (status_of(run).get("outputs") or {}).items():
        yield Text(f"  {key}: {shorten(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))}")
    for row in read_tasks(run):
        if row.state in FAILED_STATES:
            yield Text(f"  {row.name} {row.state} {row.explanation()}".rstrip(), "red")
            for failed in row.failed_items[-MAX_FAILED_ITEMS:]:
                yield Text(f"    {failed}", "red")
            if hint := hint_for_task(row):
                yield Text(f"  details: {hint}")
    yield Text(headline(run, dt.datetime.now(dt.UTC)), "bold green" if is_successful(run) else "bold red")
