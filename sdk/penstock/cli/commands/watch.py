"""`penstock watch`: progress of a run, as a table on a terminal and as lines elsewhere."""

from __future__ import annotations

import argparse

from rich.console import Console

from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.backfill_watching import watch_backfill
from penstock.cli.cluster.kinds import BACKFILLS, RUNS, find_resource
from penstock.cli.cluster.watching import (
    watch_run,
)


def command(arguments: argparse.Namespace) -> int:
    """Show a run, or a Backfill, until it has finished."""
    cluster, console = Cluster.connect(arguments), Console(highlight=False)
    kind, _, name = arguments.run.rpartition("/")
    if kind and find_resource(kind) is BACKFILLS:
        return watch_backfill(cluster, name, console)
    return watch_run(cluster, name if kind and find_resource(kind) is RUNS else arguments.run, console)
