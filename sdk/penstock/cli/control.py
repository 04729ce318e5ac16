"""What the commands share that change a run."""

from __future__ import annotations

import sys

from penstock.cli.progress import Object, is_finished, status_of
from penstock.errors import CommandError


def unfinished(run: Object, verb: str) -> Object:
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


def report(run: Object, done: str, advice: str = "") -> None:
    """Say what was done to a run, as kubectl does, and to a person what that means."""
    print(f"flowrun.penstock.dev/{run['metadata']['name']} {done}", flush=True)
    if advice and sys.stdout.isatty():
        print(advice)
