"""`penstock backfill`: run a Schedule for a past period."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Mapping
from typing import Any

from penstock.api.names import API_VERSION
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.backfill_watching import watch_backfill
from penstock.cli.manifests.run_name import name_prefix
from penstock.cli.text.console import Console
from penstock.cli.text.echo import echo
from penstock.drawing.task_rows import Object
from penstock.engine.ticks.zone import read_zone
from penstock.errors import CommandError

FORMS = "2026-10-01, 2026-10-01T06:00 (in the time zone of the Schedule), or 2026-10-01T06:00:00+02:00"


def command(arguments: argparse.Namespace) -> int:
    """Create a Backfill; with --watch or --wait, wait until it has finished."""
    cluster = Cluster.connect(arguments)
    schedule = cluster.get_object("schedules", "Schedule", arguments.schedule)
    body = build_backfill(arguments, schedule["spec"].get("timeZone") or "UTC")
    created = cluster.send("POST", cluster.object_path("backfills"), body=body)
    name, is_detached = created["metadata"]["name"], not (arguments.watch or arguments.wait)
    echo(f"backfill.penstock.dev/{name} created", flush=True)
    if is_detached and sys.stdout.isatty():
        echo(f"Next: {cluster.hint(f'watch backfill/{name}')}")
    return 0 if is_detached else watch_backfill(cluster, name, Console(), quiet=arguments.wait)


def build_backfill(arguments: argparse.Namespace, zone: str) -> Object:
    """Build the Backfill.

    Args:
        arguments: the parsed arguments.
        zone: time zone of the Schedule, for times without a UTC offset.

    Raises:
        CommandError: a time, or the time zone, is invalid.
    """
    try:
        known_zone = read_zone(zone)
    except ValueError as error:
        raise CommandError(f"Schedule {arguments.schedule} is invalid: spec.timeZone: {error}") from error
    name = arguments.name
    metadata = {"name": name} if name else {"generateName": name_prefix(arguments.schedule)}
    spec: dict[str, Any] = {
        "schedule": {"name": arguments.schedule},
        "from": _time("--from", arguments.from_, known_zone),
        "to": _time("--to", arguments.to, known_zone),
    }
    given: Mapping[str, Any] = {
        "maxActive": arguments.max_active,
        "order": arguments.order,
        "reprocess": arguments.reprocess,
    }
    spec |= {field: value for field, value in given.items() if value is not None}
    return {"apiVersion": API_VERSION, "kind": "Backfill", "metadata": metadata, "spec": spec}


def _time(flag: str, text: str, zone: dt.tzinfo) -> str:
    try:
        time = dt.datetime.fromisoformat(text)
        return (time if time.tzinfo is not None else time.replace(tzinfo=zone)).isoformat()
    except ValueError as error:
        raise CommandError(f"{flag} {text}: invalid time; use {FORMS}") from error
