"""Shared by the commands that change a run."""

from __future__ import annotations

import sys
from typing import Final

from penstock.api.names import AUDIT_GROUP, GROUP
from penstock.cli.text.echo import echo
from penstock.cli.text.progress import is_finished
from penstock.drawing.task_rows import Object, status_of
from penstock.errors import CommandError


def require_unfinished(run: Object, verb: str) -> Object:
    """Return the run if it has not finished.

    Args:
        run: the FlowRun.
        verb: the command, for the message.

    Raises:
        CommandError: it has finished.
    """
    if is_finished(run):
        raise CommandError(
            f"FlowRun {run['metadata']['name']} has finished ({status_of(run)['state']}): there is nothing to {verb}"
        )
    return run


def report_change(changed: Object, done: str, advice: str = "") -> None:
    """Print what was done to an object, as kubectl does; on a terminal also some advice."""
    echo(f"{changed['kind'].lower()}.{GROUP}/{changed['metadata']['name']} {done}", flush=True)
    if advice and sys.stdout.isatty():
        echo(advice)


SHUTDOWN_MODES: Final = ("Drain", "Cancel", "Terminate")
"""From the mildest to the strongest: the API allows only changes to a stronger mode."""


def build_suspend_operations(item: Object, *, is_suspended: bool) -> list[Object]:
    """Build the JSON Patch; it works whether or not the field exists.

    The record of who did the same before is removed: if no webhook answers, it would name that user for this change.

    Args:
        item: the run or Schedule as it was read.
        is_suspended: the new value.
    """
    keys = [f"{AUDIT_GROUP}/{'suspended' if is_suspended else 'resumed'}-{each}" for each in ("by", "at")]
    annotations = item["metadata"].get("annotations") or {}
    return [
        {"op": "add", "path": "/spec/suspend", "value": is_suspended},
        *(
            {"op": "remove", "path": f"/metadata/annotations/{key.replace('/', '~1')}"}
            for key in keys
            if key in annotations
        ),
    ]


OPTIONS: Final = {"Drain": "cancel RUN --drain", "Cancel": "cancel RUN", "Terminate": "cancel RUN --now"}


def build_shutdown_operation(run: Object, mode: str) -> Object:
    """Build the JSON Patch operation.

    Args:
        run: the FlowRun as it was read.
        mode: Drain, Cancel or Terminate.

    Raises:
        CommandError: the run is already shutting down in a stronger mode.
    """
    now = run["spec"].get("shutdown")
    if now in SHUTDOWN_MODES and SHUTDOWN_MODES.index(now) > SHUTDOWN_MODES.index(mode):
        stronger = " or ".join(OPTIONS[each] for each in SHUTDOWN_MODES[SHUTDOWN_MODES.index(now) + 1 :])
        raise CommandError(
            f"FlowRun {run['metadata']['name']} is already shutting down with {now}; it cannot be weakened to {mode}"
            f"{f', only escalated: {stronger}' if stronger else ''}"
        )
    return {"op": "add", "path": "/spec/shutdown", "value": mode}
