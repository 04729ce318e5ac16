"""A FlowRun of a Flow, built and created."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable
from typing import Any

from rich.console import Console

from penstock.api.names import API_VERSION
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.control import report_change
from penstock.cli.cluster.watching import watch_run
from penstock.cli.manifests.overrides import read_overrides
from penstock.cli.manifests.run_name import name_prefix
from penstock.cli.text.times import read_moment, write_moment
from penstock.drawing.task_rows import Object


def start(
    cluster: Cluster, body: Object, arguments: argparse.Namespace, *, then: Callable[[Object], None] | None = None
) -> int:
    """Create a FlowRun and, if asked to, stay with it.

    Args:
        cluster: where.
        body: the FlowRun.
        arguments: with `watch` and `wait`.
        then: called with the run when it is created, before it is told.

    Returns:
        The exit code.
    """
    run = cluster.create_run(body)
    if then is not None:
        then(run)
    name, due = run["metadata"]["name"], run["spec"].get("scheduledTime")
    advice = f"Next: {cluster.hint(f'watch {name}')}, {cluster.hint(f'logs {name} -f')}"
    report_change(run, f"created, due {due}" if due else "created", "" if arguments.watch or arguments.wait else advice)
    if arguments.watch or arguments.wait:
        return watch_run(cluster, name, Console(highlight=False), quiet=arguments.wait)
    return 0


def read_options(arguments: argparse.Namespace, now: dt.datetime) -> dict[str, Any]:
    """Read the options that are fields of a run's spec.

    Args:
        arguments: with `at`, `priority` and `timeout`, each None unless typed.
        now: the present, in this machine's zone.

    Returns:
        The fields.

    Raises:
        CommandError: one can't be read.
    """
    fields = read_overrides(arguments)
    if arguments.at is not None:
        fields["scheduledTime"] = write_moment(read_moment(arguments.at, now))
    return fields


def build_run(flow: str, *, name: str | None, spec: Object) -> Object:
    """Build a FlowRun.

    Args:
        flow: name of the Flow, from which that of the run is made.
        name: name of the run; None leaves its end to the API server.
        spec: its spec.
    """
    metadata = {"name": name} if name else {"generateName": name_prefix(flow)}
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": spec}
