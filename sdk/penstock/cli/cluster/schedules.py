"""Reads Schedules of the cluster."""

from __future__ import annotations

from penstock.api.schedule import ScheduleSpec
from penstock.cli.cluster.access import Cluster
from penstock.drawing.task_rows import Object
from penstock.engine.validation.validation import check_schedule, parse_schedule
from penstock.errors import CommandError, InvalidSpecError


def get_schedule(cluster: Cluster, name: str) -> Object:
    """Get a Schedule.

    Raises:
        CommandError: it does not exist; the message lists the existing names.
    """
    return cluster.get_object("schedules", "Schedule", name)


def read_schedule_spec(schedule: Object) -> ScheduleSpec:
    """Read the spec of a Schedule.

    Raises:
        CommandError: it is invalid; the message lists all problems.
    """
    try:
        spec = parse_schedule(schedule)
        problems = check_schedule(spec)
    except InvalidSpecError as error:
        problems = list(error.problems)
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise CommandError(f"Schedule {schedule['metadata']['name']} is invalid:{lines}")
    return spec
