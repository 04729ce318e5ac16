"""`penstock cancel`: end a run early."""

from __future__ import annotations

import argparse
from typing import Final

from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.control import build_shutdown_operation, report_change, require_unfinished

ADVICE: Final = {
    "Drain": "What runs goes on to its end, then the finally tasks run.",
    "Cancel": "What runs is stopped, then the finally tasks run.",
    "Terminate": "Everything is stopped.",
}


def command(arguments: argparse.Namespace) -> int:
    """Set `spec.shutdown` of a run as `arguments.shutdown` has it."""
    cluster = Cluster.connect(arguments)
    run = require_unfinished(cluster.get_run(arguments.run), "cancel")
    mode: str = arguments.shutdown
    if run["spec"].get("shutdown") == mode:
        report_change(run, f"is being ended already (shutdown: {mode})")
        return 0
    cluster.patch_run(run, [build_shutdown_operation(run, mode)])
    watching = cluster.hint(f"watch {arguments.run}")
    report_change(run, f"is being ended (shutdown: {mode})", f"{ADVICE[mode]} See it end: {watching}")
    return 0
