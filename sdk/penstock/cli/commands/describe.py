"""`penstock describe`: a run in detail."""

from __future__ import annotations

import argparse
import datetime as dt

from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.api_errors import FORBIDDEN
from penstock.cli.text.console import Console
from penstock.cli.text.echo import echo
from penstock.cli.text.run_description import describe_run
from penstock.drawing.task_rows import Object
from penstock.errors import RefusalError


def command(arguments: argparse.Namespace) -> int:
    """Print a run with its tasks, Events and advice."""
    cluster = Cluster.connect(arguments)
    run = cluster.get_run(arguments.run)
    console = Console()
    for line in describe_run(run, _events(cluster, run), dt.datetime.now().astimezone(), cluster.hint):
        console.print(line, soft_wrap=True)
    return 0


def _events(cluster: Cluster, run: Object) -> list[Object]:
    try:
        return cluster.list_events(run)
    except RefusalError as error:
        if error.status != FORBIDDEN:
            raise
        echo(f"cannot list the Events of the run: {error}", is_error=True)
        return []
