"""What the commands share that change a run."""

from __future__ import annotations

import sys
from typing import Final

from penstock.cli.text.progress import is_finished
from penstock.drawing.task_rows import Object, status_of
from penstock.errors import CommandError


def require_unfinished(run: Object, verb: str) -> Object:
    """Return a run that is not over.

    Args:
        run: the FlowRun.
        verb: what was asked for.

    Raises:
        CommandError: it is over.
    """
    if is_finished(run):
        raise CommandError(
            f"FlowRun {run['metadata']['name']} is over ({status_of(run)['state']}): there is nothing to {verb}"
        )
    return run


def report_change(run: Object, done: str, advice: str = "") -> None:
    """Say what was done to a run, as kubectl does, and to a person what that means."""
    print(f"flowrun.penstock.dev/{run['metadata']['name']} {done}", flush=True)
    if advice and sys.stdout.isatty():
        print(advice)


SHUTDOWN_MODES: Final = ("Drain", "Cancel", "Terminate")
"""The ways to end a run, the weakest first: the API lets a shutdown only get stronger."""


OPTIONS: Final = {"Drain": "cancel RUN --drain", "Cancel": "cancel RUN", "Terminate": "cancel RUN --now"}


def build_shutdown_operation(run: Object, mode: str) -> Object:
    """Build the change as an operation of a JSON Patch.

    Args:
        run: the FlowRun as it is.
        mode: Drain, Cancel or Terminate.

    Raises:
        CommandError: the run is being ended in a stronger way already.
    """
    now = run["spec"].get("shutdown")
    if now in SHUTDOWN_MODES and SHUTDOWN_MODES.index(now) > SHUTDOWN_MODES.index(mode):
        stronger = " or ".join(OPTIONS[each] for each in SHUTDOWN_MODES[SHUTDOWN_MODES.index(now) + 1 :])
        raise CommandError(
            f"FlowRun {run['metadata']['name']} is being ended by shutdown: {now}, which only gets stronger, never "
            f"weaker{f'; stronger is {stronger}' if stronger else ''}"
        )
    return {"op": "add", "path": "/spec/shutdown", "value": mode}
