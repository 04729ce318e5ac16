"""`penstock schedule list`: when Schedules run, and how it went last."""

from __future__ import annotations

import argparse
import datetime as dt

from penstock.api.names import API_VERSION
from penstock.cli.cluster.access import Cluster
from penstock.cli.text.console import Console
from penstock.cli.text.echo import echo
from penstock.cli.text.schedule_row import HEADINGS, schedule_row
from penstock.cli.text.table import format_lines


def command(arguments: argparse.Namespace) -> int:
    """Print the Schedules of a namespace, or of all."""
    cluster = Cluster.connect(arguments)
    is_everywhere: bool = arguments.all_namespaces
    path = f"/apis/{API_VERSION}/schedules" if is_everywhere else cluster.object_path("schedules")
    found = [schedule for page in cluster.list_pages(path, {}) for schedule in page["items"]]
    if not found:
        echo(f"no schedules {'in any namespace' if is_everywhere else cluster.describe_namespace()}", is_error=True)
        return 0
    now = dt.datetime.now(dt.UTC)
    prefix = ["NAMESPACE"] if is_everywhere else []
    rows = [
        [*([each["metadata"]["namespace"]] if is_everywhere else []), *schedule_row(each, now)]
        for each in sorted(found, key=lambda each: (each["metadata"]["namespace"], each["metadata"]["name"]))
    ]
    console = Console()
    for line in format_lines([*prefix, *HEADINGS], rows):
        console.print(line, soft_wrap=True)
    return 0
