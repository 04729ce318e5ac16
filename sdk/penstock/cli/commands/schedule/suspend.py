"""`penstock schedule suspend` and `penstock schedule resume`."""

from __future__ import annotations

import argparse

from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.control import build_suspend_operations, report_change
from penstock.cli.cluster.schedules import get_schedule


def command(arguments: argparse.Namespace) -> int:
    """Set `spec.suspend` of a Schedule to `arguments.suspend`."""
    cluster = Cluster.connect(arguments)
    schedule = get_schedule(cluster, arguments.schedule)
    is_suspended: bool = arguments.suspend
    if bool(schedule["spec"].get("suspend")) == is_suspended:
        report_change(schedule, "is already suspended" if is_suspended else "is not suspended")
        return 0
    cluster.patch("schedules", schedule, build_suspend_operations(schedule, is_suspended=is_suspended))
    if is_suspended:
        resume = cluster.hint(f"schedule resume {arguments.schedule}")
        report_change(schedule, "suspended", f"Active runs continue. To resume: {resume}")
    else:
        report_change(schedule, "resumed")
    return 0
