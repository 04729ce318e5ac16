"""Shows the progress of a Backfill: one line per change, and the outcome."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping
from typing import Any

from penstock.cli.cluster.access import Cluster
from penstock.cli.text.console import Console, Text
from penstock.cli.text.echo import echo
from penstock.drawing.task_rows import Object, status_of


def watch_backfill(cluster: Cluster, name: str, console: Console, *, quiet: bool = False) -> int:
    """Show a Backfill until it has finished, and its outcome.

    Args:
        cluster: the cluster.
        name: its name.
        console: the output.
        quiet: whether to write only the outcome.

    Returns:
        The exit code: 0 if none of its runs failed, 1 if any did.

    Raises:
        CommandError: the Backfill does not exist or was deleted, or the cluster cannot be reached.
        KeyboardInterrupt: Ctrl-C was pressed; a hint has been printed.
    """
    shown, found = "", {}
    try:
        with contextlib.closing(cluster.follow("backfills", "Backfill", name)) as states:
            for found in states:
                line = progress_line(found)
                if line != shown and not quiet:
                    console.print(Text(f"{dt.datetime.now().astimezone():%H:%M:%S}  {line}"), soft_wrap=True)
                shown = line
                if is_backfill_finished(found):
                    break
    except KeyboardInterrupt:
        echo(f"Backfill {name} continues; to cancel it: kubectl delete backfill {name}", is_error=True)
        raise
    is_completed = status_of(found).get("state") == "Completed"
    console.print(Text(backfill_outcome(found), "bold green" if is_completed else "bold red"), soft_wrap=True)
    return 0 if is_completed else 1


def progress_line(backfill: Object) -> str:
    """Return the progress of a Backfill as one line."""
    status = status_of(backfill)
    if not status:
        return "waiting for the operator"
    counts = ", ".join(f"{count} {word}" for word, count in (status.get("counts") or {}).items() if count)
    parts = [status.get("progress", ""), status.get("state", ""), counts]
    if status.get("reason") not in (None, status.get("state")):
        parts.append(f"{status['reason']}: {status.get('message', '')}".rstrip(": "))
    return "  ".join(part for part in parts if part)


def is_backfill_finished(backfill: Object) -> bool:
    """Whether a Backfill has finished."""
    conditions: list[Mapping[str, Any]] = status_of(backfill).get("conditions") or []
    return any(one["type"] == "Finished" and one["status"] == "True" for one in conditions)


def backfill_outcome(backfill: Object) -> str:
    """Return the outcome of a Backfill as one line."""
    status = status_of(backfill)
    return f"Backfill {backfill['metadata']['name']} {status.get('state', '')}: {status.get('message', '')}"
