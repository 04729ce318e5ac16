"""`penstock watch`: progress of a run, as a table on a terminal and as lines elsewhere."""

from __future__ import annotations

import argparse

from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.backfill_watching import watch_backfill
from penstock.cli.cluster.kinds import BACKFILLS, RUNS, find_resource
from penstock.cli.cluster.watching import watch_run
from penstock.cli.text.console import Console
from penstock.errors import CommandError


def command(arguments: argparse.Namespace) -> int:
    """Show a run, or a Backfill, until it has finished."""
    cluster, console = Cluster.connect(arguments), Console()
    word, _, name = arguments.run.rpartition("/")
    resource = find_resource(word) if word else RUNS
    if resource is BACKFILLS:
        return watch_backfill(cluster, name, console)
    if resource is not RUNS:
        raise CommandError(f"a {resource.kind} cannot be watched; name a run, or backfill/NAME")
    return watch_run(cluster, name, console)
