"""Runs as a table. Pure.

The API server prints the columns of the CRD; durations, and what was requested a moment ago, are computed here.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from penstock.api.names import ANNOTATION_TICK, LABEL_FLOW, LABEL_SCHEDULE
from penstock.api.states import STATES
from penstock.cli.text.console import Text
from penstock.cli.text.description import requested_by
from penstock.cli.text.table import format_lines
from penstock.drawing.task_rows import FAILED_STATES, format_duration, read_time, shorten

SHUTTING_DOWN: Final = {"Drain": "Draining", "Cancel": "Cancelling", "Terminate": "Terminating"}
SUSPENDING: Final = "Suspending"


class RunCells(NamedTuple):
    """One row of a `Table` of runs."""

    cells: Mapping[str, Any]
    """By the name of the column; what an older CRD does not have is missing."""
    metadata: Mapping[str, Any]

    def text(self, column: str) -> str:
        """Return a cell; empty without a value."""
        value = self.cells.get(column)
        return "" if value is None else str(value)


def read_cells(columns: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> RunCells:
    """Read a row of a `Table` of the API server."""
    names = (column["name"] for column in columns)
    return RunCells(dict(zip(names, row["cells"], strict=True)), row["object"]["metadata"])


def run_table(
    runs: Sequence[RunCells], now: dt.datetime, *, is_wide: bool = False, has_namespaces: bool = False
) -> Iterator[Text]:
    """Format runs.

    Args:
        runs: the runs.
        now: the current time, aware.
        is_wide: whether to include the columns of `-o wide`.
        has_namespaces: whether to begin each row with its namespace.
    """
    rows = [_row(run, now, is_wide=is_wide) for run in runs]
    headings = list(rows[0]) if rows else []
    prefixes = [[run.metadata["namespace"]] if has_namespaces else [] for run in runs]
    lines = [[*prefix, *row.values()] for prefix, row in zip(prefixes, rows, strict=True)]
    yield from format_lines([*(["NAMESPACE"] if has_namespaces else []), *headings], lines)


def _row(run: RunCells, now: dt.datetime, *, is_wide: bool) -> dict[str, str]:
    labels, annotations = run.metadata.get("labels") or {}, run.metadata.get("annotations") or {}
    finished = run.text("Finished")
    row = {
        "NAME": run.metadata["name"],
        # A retry names no Flow in its spec.
        "FLOW": run.text("Flow") or labels.get(LABEL_FLOW, ""),
        "STATE": run.text("State"),
        "PROGRESS": run.text("Progress"),
        "FAILED": _failed_count(run),
        "FAILED TASK": run.text("Failed task"),
        "REASON": _reason(run),
        "DURATION": _duration(run, now),
        "FINISHED": f"{finished} ago" if finished else "",
        "AGE": run.text("Age"),
    }
    if is_wide:
        owners = [f"{owner['kind']} {owner['name']}" for owner in run.metadata.get("ownerReferences") or ()]
        schedule = [f"Schedule {labels[LABEL_SCHEDULE]}"] if LABEL_SCHEDULE in labels else []
        row |= {
            "STARTED AT": run.text("Started at"),
            "FINISHED AT": run.text("Finished at"),
            "TICK": annotations.get(ANNOTATION_TICK, ""),
            "BY": _origin(requested_by(run.metadata), next(iter([*owners, *schedule]), "")),
            "MESSAGE": shorten(" ".join(run.text("Message").split())),
        }
    return row


def _origin(user: str, creator: str) -> str:
    """Return who is behind a run, and through which object."""
    return f"{user} ({creator})" if user and creator else user or creator


def _failed_count(run: RunCells) -> str:
    """Count the tasks that did not succeed; empty for none."""
    try:
        counts: Mapping[str, int] = json.loads(run.text("Counts") or "{}")
    except ValueError:
        return run.text("Failed")
    return str(sum(count for state, count in counts.items() if state in FAILED_STATES) or "")


def _reason(run: RunCells) -> str:
    """Return the reason; for a run that is being suspended or ended, that, even before the operator has read it."""
    state = run.text("State")
    if state in STATES and STATES[state].is_final:
        return run.text("Reason")
    if shutdown := SHUTTING_DOWN.get(run.text("Shutdown")):
        return shutdown
    if run.text("Suspend").lower() == "true" and state != "Paused":
        return SUSPENDING
    return run.text("Reason")


def _duration(run: RunCells, now: dt.datetime) -> str:
    start, end = read_time(run.text("Started at")), read_time(run.text("Finished at"))
    return format_duration(((end or now) - start).total_seconds()) if start else ""
