"""Builds and creates a Backfill."""

from __future__ import annotations

import argparse
from typing import Any

from penstock.api.names import API_VERSION
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.backfill_watching import watch_backfill
from penstock.cli.cluster.control import report_change
from penstock.cli.manifests.run_name import name_prefix
from penstock.cli.text.console import Console
from penstock.drawing.task_rows import Object


def build_backfill(schedule: str, *, name: str | None, start: str, end: str, **given: Any) -> Object:
    """Build a Backfill.

    Args:
        schedule: name of the Schedule.
        name: name of the Backfill; None lets the API server generate one.
        start: start of the period, with a UTC offset.
        end: its end, exclusive.
        given: other fields of its spec; None for those to omit.
    """
    metadata = {"name": name} if name else {"generateName": name_prefix(schedule)}
    spec: dict[str, Any] = {"schedule": {"name": schedule}, "from": start, "to": end}
    spec |= {field: value for field, value in given.items() if value is not None}
    return {"apiVersion": API_VERSION, "kind": "Backfill", "metadata": metadata, "spec": spec}


def start_backfill(cluster: Cluster, body: Object, arguments: argparse.Namespace) -> int:
    """Create a Backfill; with --watch or --wait, wait until it has finished.

    Args:
        cluster: the cluster.
        body: the Backfill.
        arguments: with `watch` and `wait`.

    Returns:
        The exit code.
    """
    created = cluster.send("POST", cluster.object_path("backfills"), body=body)
    name, is_detached = created["metadata"]["name"], not (arguments.watch or arguments.wait)
    advice = f"Next: {cluster.hint(f'watch backfill/{name}')}" if is_detached else ""
    report_change(created, "created", advice)
    return 0 if is_detached else watch_backfill(cluster, name, Console(), quiet=arguments.wait)
