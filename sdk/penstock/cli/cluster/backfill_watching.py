"""A Backfill as it goes: one line for each change, and how it ended."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from penstock.cli.cluster.access import Cluster
from penstock.drawing.task_rows import Object, status_of


def watch_backfill(cluster: Cluster, name: str, console: Console, *, quiet: bool = False) -> int:
    """Show a Backfill until it is over, and how it ended.

    Args:
        cluster: where it is.
        name: its name.
        console: where to write.
        quiet: whether to write only how it ended.

    Returns:
        The exit code: 0 if none of its runs failed, 1 if any did.

    Raises:
        CommandError: there is no such Backfill, or it was deleted, or the cluster can't be reached.
        KeyboardInterrupt: Ctrl-C was typed, and what that means for the Backfill has been said.
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
        print(f"Backfill {name} goes on; to end it: kubectl delete backfill {name}", file=sys.stderr)
        raise
    is_well = status_of(found).get("state") == "Completed"
    console.print(Text(backfill_outcome(found), "bold green" if is_well else "bold red"), soft_wrap=True)
    return 0 if is_well else 1


def progress_line(backfill: Object) -> str:
    """Say in one line how far a Backfill is."""
    status = status_of(backfill)
    if not status:
        return "waits for the operator"
    counts = ", ".join(f"{count} {word}" for word, count in (status.get("counts") or {}).items() if count)
    parts = [status.get("progress", ""), status.get("state", ""), counts]
    if status.get("reason") not in (None, status.get("state")):
        parts.append(f"{status['reason']}: {status.get('message', '')}".rstrip(": "))
    return "  ".join(part for part in parts if part)


def is_backfill_finished(backfill: Object) -> bool:
    """Tell whether a Backfill is over."""
    conditions: list[Mapping[str, Any]] = status_of(backfill).get("conditions") or []
    return any(one["type"] == "Finished" and one["status"] == "True" for one in conditions)


def backfill_outcome(backfill: Object) -> str:
    """Say how a Backfill ended."""
    status = status_of(backfill)
    return f"Backfill {backfill['metadata']['name']} {status.get('state', '')}: {status.get('message', '')}"
