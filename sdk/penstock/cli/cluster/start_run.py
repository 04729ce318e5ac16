"""Builds and creates a FlowRun."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable
from typing import Any

from penstock.api.names import API_VERSION
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.control import report_change
from penstock.cli.cluster.watching import watch_run
from penstock.cli.manifests.overrides import read_overrides
from penstock.cli.manifests.run_name import name_prefix
from penstock.cli.text.console import Console
from penstock.cli.text.times import read_moment, write_moment
from penstock.drawing.task_rows import Object, read_time


def start(
    cluster: Cluster, body: Object, arguments: argparse.Namespace, *, on_created: Callable[[Object], None] | None = None
) -> int:
    """Create a FlowRun; with --watch or --wait, wait until it has finished.

    Args:
        cluster: the cluster.
        body: the FlowRun.
        arguments: with `watch` and `wait`.
        on_created: called with the created run before anything is printed.

    Returns:
        The exit code.
    """
    run = cluster.create_run(body)
    if on_created is not None:
        on_created(run)
    name = run["metadata"]["name"]
    due = run["spec"].get("scheduledTime") if _is_due_later(run) else None
    advice = f"Next: {cluster.hint(f'watch {name}')}, {cluster.hint(f'logs {name} -f')}"
    report_change(
        run, f"created, starts at {due}" if due else "created", "" if arguments.watch or arguments.wait else advice
    )
    if arguments.watch or arguments.wait:
        return watch_run(cluster, name, Console(), quiet=arguments.wait)
    return 0


def _is_due_later(run: Object) -> bool:
    due = read_time(run["spec"].get("scheduledTime"))
    return due is not None and due > dt.datetime.now(dt.UTC)


def read_options(arguments: argparse.Namespace, now: dt.datetime) -> dict[str, Any]:
    """Read the options that are fields of a run's spec.

    Args:
        arguments: with `at`, `priority` and `timeout`, each None unless given.
        now: the current time, in the time zone of this machine.

    Returns:
        The fields.

    Raises:
        CommandError: a value is invalid.
    """
    fields = read_overrides(arguments)
    if arguments.at is not None:
        fields["scheduledTime"] = write_moment(read_moment(arguments.at, now))
    return fields


def build_run(flow: str, *, name: str | None, spec: Object) -> Object:
    """Build a FlowRun.

    Args:
        flow: name of the Flow, the prefix of a generated name.
        name: name of the run; None lets the API server generate one.
        spec: its spec.
    """
    metadata = {"name": name} if name else {"generateName": name_prefix(flow)}
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": spec}
