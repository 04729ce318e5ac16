"""`penstock approve` and `penstock reject`: decide a task that is waiting for approval."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.api_errors import INVALID
from penstock.cli.cluster.control import report_change, require_unfinished
from penstock.cli.text.progress import waiting_tasks
from penstock.drawing.task_rows import Object, status_of
from penstock.engine.suggestion import enumerate_names, suggest
from penstock.errors import CommandError, RefusalError

TRIES: Final = 5
"""Attempts to write the decision, in case others decide about the same run at the same time."""
DONE: Final = {"Approve": "approved", "Reject": "rejected"}


def command(arguments: argparse.Namespace) -> int:
    """Add a decision to `spec.approvals` of a run."""
    cluster = Cluster.connect(arguments)
    for tries in range(1, TRIES + 1):
        run = require_unfinished(cluster.get_run(arguments.run), arguments.subcommand)
        task = choose_task(run, arguments.task)
        operations = build_operations(run, task, arguments.decision, arguments.comment)
        try:
            cluster.patch_run(run, operations)
        except RefusalError as error:
            if error.status == INVALID and tries < TRIES:
                continue  # another writer may have been faster: read the run again
            raise
        break
    report_change(run, f"{DONE[arguments.decision]} ({task})")
    return 0


def choose_task(run: Object, name: str | None) -> str:
    """Return the name of the task to decide.

    Args:
        run: the FlowRun.
        name: name of the task as given; None selects the only one that is waiting.

    Raises:
        CommandError: the task is not waiting for approval, or several are and no name was given.
    """
    waiting = [task["name"] for task in waiting_tasks(run)]
    if name in waiting:
        return str(name)
    subject = f"FlowRun {run['metadata']['name']}"
    if name is None:
        if len(waiting) == 1:
            return str(waiting[0])
        if not waiting:
            raise CommandError(f"no task of {subject} is waiting for approval{_child_hint(run)}")
        raise CommandError(
            f"{len(waiting)} tasks of {subject} are waiting for approval; name one of {enumerate_names(waiting)}"
        )
    others = f"; waiting for approval: {enumerate_names(waiting)}" if waiting else "; no task is"
    for decision in run["spec"].get("approvals") or ():
        if decision["task"] == name:
            comment = f' ("{decision["comment"]}")' if decision.get("comment") else ""
            done = DONE[decision["decision"]]
            raise CommandError(f"task {name} of {subject} is already {done}{comment}; a decision cannot be changed")
    for task in status_of(run).get("tasks") or ():
        if task["name"] == name:
            raise CommandError(f"task {name} of {subject} is {task['state']}, not waiting for approval{others}")
    names = [task["name"] for task in status_of(run).get("tasks") or ()]
    raise CommandError(f"{subject} has no task {name}{suggest(name, waiting or names)}{others}")


def build_operations(run: Object, task: str, decision: str, comment: str | None) -> Sequence[Object]:
    """Build a JSON Patch that cannot overwrite another decision.

    The entry is appended to the list. The API server rejects two entries for the same task, since `task` is the list's
    key. If the run has no list yet, the patch tests that there still is none: `test` with null succeeds only if the
    field is absent.

    Args:
        run: the FlowRun as it was read.
        task: name of the task.
        decision: Approve or Reject.
        comment: the reason.
    """
    entry = {"task": task, "decision": decision, **({"comment": comment} if comment else {})}
    if run["spec"].get("approvals"):
        return [{"op": "add", "path": "/spec/approvals/-", "value": entry}]
    return [
        {"op": "test", "path": "/spec/approvals", "value": None},
        {"op": "add", "path": "/spec/approvals", "value": [entry]},
    ]


def _child_hint(run: Object) -> str:
    """Name the child runs that are Paused: approvals of a child run are in its own spec."""
    children = [
        task["run"] for task in status_of(run).get("tasks") or () if task["state"] == "Paused" and task.get("run")
    ]
    return f"; these child runs are Paused: {enumerate_names(children)}" if children else ""
