"""`penstock cancel`: cancel a run."""

from __future__ import annotations

import argparse
from typing import Final

from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.control import build_shutdown_operation, report_change, require_unfinished

ADVICE: Final = {
    "Drain": "Running tasks finish, then the finally tasks run.",
    "Cancel": "Running tasks are stopped, then the finally tasks run.",
    "Terminate": "Everything is stopped; finally tasks do not run.",
}


def command(arguments: argparse.Namespace) -> int:
    """Set `spec.shutdown` of a run to `arguments.shutdown`."""
    cluster = Cluster.connect(arguments)
    run = require_unfinished(cluster.get_run(arguments.run), "cancel")
    mode: str = arguments.shutdown
    if run["spec"].get("shutdown") == mode:
        report_change(run, f"is already shutting down (shutdown: {mode})")
        return 0
    cluster.patch_run(run, [build_shutdown_operation(run, mode)])
    watching = cluster.hint(f"watch {arguments.run}")
    report_change(run, f"shutting down (shutdown: {mode})", f"{ADVICE[mode]} Follow it: {watching}")
    return 0
