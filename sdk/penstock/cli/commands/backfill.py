"""`penstock backfill`: run a Schedule for a past period."""

from __future__ import annotations

import argparse
import datetime as dt

from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.backfill_start import build_backfill, start_backfill
from penstock.cli.cluster.schedules import get_schedule
from penstock.drawing.task_rows import Object
from penstock.engine.ticks.zone import read_zone
from penstock.errors import CommandError

FORMS = "2026-10-01, 2026-10-01T06:00 (in the time zone of the Schedule), or 2026-10-01T06:00:00+02:00"


def command(arguments: argparse.Namespace) -> int:
    """Create a Backfill; with --watch or --wait, wait until it has finished."""
    cluster = Cluster.connect(arguments)
    schedule = get_schedule(cluster, arguments.schedule)
    return start_backfill(cluster, read_backfill(arguments, schedule["spec"].get("timeZone") or "UTC"), arguments)


def read_backfill(arguments: argparse.Namespace, zone: str) -> Object:
    """Build the Backfill that the arguments describe.

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
    return build_backfill(
        arguments.schedule,
        name=arguments.name,
        start=_time("--from", arguments.from_, known_zone),
        end=_time("--to", arguments.to, known_zone),
        maxActive=arguments.max_active,
        order=arguments.order,
        reprocess=arguments.reprocess,
    )


def _time(flag: str, text: str, zone: dt.tzinfo) -> str:
    try:
        time = dt.datetime.fromisoformat(text)
        return (time if time.tzinfo is not None else time.replace(tzinfo=zone)).isoformat()
    except ValueError as error:
        raise CommandError(f"{flag} {text}: invalid time; use {FORMS}") from error
