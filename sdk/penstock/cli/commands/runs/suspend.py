"""`penstock suspend` and `penstock resume`: stop or let a run start new tasks."""

from __future__ import annotations

import argparse

from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.control import build_suspend_operations, report_change, require_unfinished


def command(arguments: argparse.Namespace) -> int:
    """Set `spec.suspend` of a run to `arguments.suspend`."""
    cluster = Cluster.connect(arguments)
    run = require_unfinished(cluster.get_run(arguments.run), arguments.subcommand)
    is_suspended: bool = arguments.suspend
    if bool(run["spec"].get("suspend")) == is_suspended:
        report_change(run, "is already suspended" if is_suspended else "is not suspended")
        return 0
    cluster.patch_run(run, build_suspend_operations(run, is_suspended=is_suspended))
    if is_suspended:
        report_change(run, "suspended", f"Running tasks continue. To resume: {cluster.hint(f'resume {arguments.run}')}")
    else:
        report_change(run, "resumed")
    return 0
