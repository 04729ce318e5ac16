"""`penstock describe`: a run, Flow, Schedule, Backfill or FlowDefaults in detail."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Iterator, Sequence

from penstock.api.names import LABEL_BACKFILL, LABEL_FLOW, LABEL_SCHEDULE
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.api_errors import FORBIDDEN
from penstock.cli.cluster.kinds import RESOURCES, RUNS, Resource, find_resource
from penstock.cli.cluster.log_link import log_template
from penstock.cli.cluster.revision import read_inherited, read_revision
from penstock.cli.cluster.tables import read_runs
from penstock.cli.text.backfill_description import describe_backfill
from penstock.cli.text.console import Console, Text
from penstock.cli.text.echo import echo
from penstock.cli.text.flow_defaults_description import describe_flow_defaults
from penstock.cli.text.flow_description import describe_flow
from penstock.cli.text.log_link import format_log_link
from penstock.cli.text.log_source import Choice
from penstock.cli.text.run_description import describe_run
from penstock.cli.text.run_table import RunCells
from penstock.cli.text.schedule_description import describe_schedule
from penstock.drawing.task_rows import Object
from penstock.engine.compiler.plan import Plan
from penstock.engine.compiler.plan_compiler import compile_plan
from penstock.errors import CommandError, RefusalError


def command(arguments: argparse.Namespace) -> int:
    """Print an object with its Events, and for a run its tasks and advice."""
    cluster = Cluster.connect(arguments)
    resource, found = find_described(cluster, arguments.words)
    now = dt.datetime.now().astimezone()
    console = Console()
    for line in _describe(cluster, resource, found, now):
        console.print(line, soft_wrap=True)
    return 0


def find_described(cluster: Cluster, words: Sequence[str]) -> tuple[Resource, Object]:
    """Find the object that the words name.

    Args:
        cluster: the cluster.
        words: `NAME`, `KIND/NAME`, or `KIND` and `NAME`.

    Raises:
        CommandError: there is none.
    """
    word, _, name = "/".join(words).rpartition("/")
    if "/" in word:
        raise CommandError(f"{' '.join(words)}: describe one object: NAME, KIND NAME or KIND/NAME")
    if word:
        resource = find_resource(word)
        return resource, cluster.get_object(resource.plural, resource.kind, name)
    for resource in RESOURCES:
        if found := cluster.find_object(resource.plural, name):
            return resource, found
    # Names the existing runs.
    return RUNS, cluster.get_run(name)


def _describe(cluster: Cluster, resource: Resource, found: Object, now: dt.datetime) -> Iterator[Text]:
    events, name = _events(cluster, found), found["metadata"]["name"]
    if resource is RUNS:
        template = log_template(cluster)

        def link(task: str | None) -> str:
            return format_log_link(template, found, Choice(task), now) if template else ""

        yield from describe_run(found, events, now, cluster.hint, plan=_plan(cluster, found), log_link=link)
    elif resource.kind == "Flow":
        schedules = cluster.send("GET", cluster.object_path("schedules"))["items"]
        runs, inherited = _runs(cluster, LABEL_FLOW, name), read_inherited(cluster, found)
        yield from describe_flow(found, runs, schedules, events, now, cluster.hint, inherited)
    elif resource.kind == "Schedule":
        yield from describe_schedule(found, _runs(cluster, LABEL_SCHEDULE, name), events, now, cluster.hint)
    elif resource.kind == "FlowDefaults":
        yield from describe_flow_defaults(found, events, now)
    else:
        yield from describe_backfill(found, _runs(cluster, LABEL_BACKFILL, name), events, now, cluster.hint)


def _plan(cluster: Cluster, run: Object) -> Plan | None:
    spec = read_revision(cluster, run)
    return None if spec is None else compile_plan(spec)


def _runs(cluster: Cluster, label: str, name: str) -> list[RunCells]:
    """Return the runs of a Flow, Schedule or Backfill, the newest last."""
    selectors = [{"labelSelector": f"{label}={name}"}]
    if label == LABEL_FLOW:
        selectors.append({"fieldSelector": f"spec.flow.name={name}"})
    return read_runs(cluster, cluster.object_path("flowruns"), selectors)


def _events(cluster: Cluster, found: Object) -> list[Object]:
    try:
        return cluster.list_events(found)
    except RefusalError as error:
        if error.status != FORBIDDEN:
            raise
        echo(f"cannot list the Events of {found['metadata']['name']}: {error}", is_error=True)
        return []
