"""`penstock cancel`: end a run early."""

from __future__ import annotations

import argparse
from typing import Final

from penstock.cli.cluster import Cluster
from penstock.cli.control import report, unfinished
from penstock.cli.progress import Object
from penstock.errors import CommandError

STRENGTHS: Final = ("Drain", "Cancel", "Terminate")
"""The ways to end a run, the weakest first: the API lets a shutdown only get stronger."""
OPTIONS: Final = {"Drain": "cancel RUN --drain", "Cancel": "cancel RUN", "Terminate": "cancel RUN --now"}
ADVICE: Final = {
    "Drain": "What runs goes on to its end, then the finally tasks run.",
    "Cancel": "What runs is stopped, then the finally tasks run.",
    "Terminate": "Everything is stopped.",
}


def command(arguments: argparse.Namespace) -> int:
    """Set `spec.shutdown` of a run as `arguments.shutdown` has it."""
    cluster = Cluster.connect(arguments)
    run = unfinished(cluster.run(arguments.run), "cancel")
    mode: str = arguments.shutdown
    if run["spec"].get("shutdown") == mode:
        report(run, f"is being ended already (shutdown: {mode})")
        return 0
    cluster.change_run(run, [build_operation(run, mode)])
    watching = cluster.hint(f"watch {arguments.run}")
    report(run, f"is being ended (shutdown: {mode})", f"{ADVICE[mode]} See it end: {watching}")
    return 0


def build_operation(run: Object, mode: str) -> Object:
    """Build the change as an operation of a JSON Patch.

    Args:
        run: the FlowRun as it is.
        mode: Drain, Cancel or Terminate.

    Raises:
        CommandError: the run is being ended in a stronger way already.
    """
    now = run["spec"].get("shutdown")
    if now in STRENGTHS and STRENGTHS.index(now) > STRENGTHS.index(mode):
        stronger = " or ".join(OPTIONS[each] for each in STRENGTHS[STRENGTHS.index(now) + 1 :])
        raise CommandError(
            f"FlowRun {run['metadata']['name']} is being ended by shutdown: {now}, which only gets stronger, never "
            f"weaker{f'; stronger is {stronger}' if stronger else ''}"
        )
    return {"op": "add", "path": "/spec/shutdown", "value": mode}
