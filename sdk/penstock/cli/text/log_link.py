"""Links to the logs of a run in a log store, by a URL template. Pure."""

from __future__ import annotations

import datetime as dt
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

from penstock.cli.text.log_source import Choice
from penstock.drawing.task_rows import Object, read_time, status_of
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import CommandError

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z]+)\}")
MARGIN: Final = dt.timedelta(minutes=5)
"""Log stores have their own times: the period of a link is a little longer than the run."""
NAMES: Final = ("namespace", "run", "uid", "task", "item", "pod", "start", "end", "startMs", "endMs")


def format_log_link(template: str, run: Object, choice: Choice, now: dt.datetime) -> str:
    """Return the link to the logs of a run, of a task or of an item.

    Args:
        template: URL with placeholders: `https://logs.example/?ns={namespace}&run={run}&from={startMs}&to={endMs}`.
        run: the FlowRun.
        choice: which task and item.
        now: the current time, aware: the end of a run that has not finished.

    Raises:
        CommandError: the template has an unknown placeholder.
    """
    metadata, status = run["metadata"], status_of(run)
    start = (read_time(status.get("startTime") or metadata.get("creationTimestamp")) or now) - MARGIN
    end = (read_time(status.get("completionTime")) or now) + MARGIN
    values: Mapping[str, Any] = {
        "namespace": metadata.get("namespace"),
        "run": metadata["name"],
        "uid": metadata.get("uid"),
        "task": choice.task,
        "item": choice.item,
        "pod": next((task.get("pod") for task in status.get("tasks") or () if task["name"] == choice.task), None),
        "start": start.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "end": end.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "startMs": int(start.timestamp() * 1000),
        "endMs": int(end.timestamp() * 1000),
    }

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values:
            hint = suggest(name, NAMES) or f"; known: {enumerate_names(NAMES)}"
            raise CommandError(f"the URL template of the log store has an unknown placeholder {{{name}}}{hint}")
        value = values[name]
        return "" if value is None else urllib.parse.quote(str(value), safe="")

    return _PLACEHOLDER.sub(replace, template)
