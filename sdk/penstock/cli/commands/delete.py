"""`penstock delete`: delete runs, Flows, Schedules or Backfills."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Final

from penstock.api.names import LABEL_BACKFILL, LABEL_PARENT_UID, LABEL_SCHEDULE
from penstock.cli.cluster.access import METADATA_LIST, Cluster
from penstock.cli.cluster.control import report_change
from penstock.cli.cluster.kinds import Resource, find_resource
from penstock.cli.text.echo import echo
from penstock.cli.text.progress import is_finished
from penstock.drawing.task_rows import Object
from penstock.errors import CommandError

RUNS_OF: Final = {"Schedule": LABEL_SCHEDULE, "Backfill": LABEL_BACKFILL}
"""The label by which the runs of an object of a kind are found."""


def command(arguments: argparse.Namespace) -> int:
    """Delete objects, after a question unless `arguments.yes`."""
    cluster = Cluster.connect(arguments)
    word, _, name = arguments.kind.partition("/")
    resource = find_resource(word)
    names = [each for each in (name, *arguments.names) if each]
    if not names:
        raise CommandError(f"name what to delete: {cluster.hint(f'delete {word} NAME')}")
    found = [cluster.get_object(resource.plural, resource.kind, each) for each in dict.fromkeys(names)]
    if not arguments.yes:
        lines = [line for each in found for line in _consequences(cluster, resource, each)]
        if not _is_confirmed(lines):
            echo("nothing was deleted", is_error=True)
            return 1
    for each in found:
        body = {"propagationPolicy": "Background", "preconditions": {"uid": each["metadata"]["uid"]}}
        cluster.send("DELETE", cluster.object_path(resource.plural, each["metadata"]["name"]), body=body)
        report_change(each, "deleted")
    return 0


def _is_confirmed(lines: list[str]) -> bool:
    """Ask on the terminal.

    Raises:
        CommandError: there is none.
    """
    if not sys.stdin.isatty():
        raise CommandError("deleting asks first, which needs a terminal: add --yes to delete without a question")
    for line in lines:
        echo(line, is_error=True)
    echo("Delete? [y/N] ", is_error=True, end="", flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _consequences(cluster: Cluster, resource: Resource, target: Object) -> Iterator[str]:
    """Say what is deleted, and what with it."""
    name = target["metadata"]["name"]
    yield f"{resource.kind} {name} in namespace {cluster.namespace}"
    if resource.kind == "FlowRun":
        children = _count_owned(cluster, target, f"{LABEL_PARENT_UID}={target['metadata']['uid']}")
        what = "its Pods and their logs" + (f", and {children} child runs" if children else "")
        yield f"  deletes {what} with it"
        if not is_finished(target):
            cancel = cluster.hint(f"cancel {name}")
            yield f"  it has not finished: it stops at once, and its finally tasks do not run; to run them: {cancel}"
    if label := RUNS_OF.get(resource.kind):
        runs = _count_owned(cluster, target, f"{label}={name}")
        yield f"  deletes {runs} of its runs with it, active ones too" if runs else "  none of its runs are deleted"
    if resource.kind == "Flow":
        yield "  its runs stay, and active ones continue; new runs wait until the Flow exists again"


def _count_owned(cluster: Cluster, owner: Object, selector: str) -> int:
    """Count the runs that Kubernetes deletes with their owner."""
    uid = owner["metadata"]["uid"]
    pages = cluster.list_pages(cluster.object_path("flowruns"), {"labelSelector": selector}, accept=METADATA_LIST)
    return sum(
        any(each["uid"] == uid for each in item["metadata"].get("ownerReferences") or ())
        for page in pages
        for item in page["items"]
    )
