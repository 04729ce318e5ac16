"""`penstock approve` and `penstock reject`: decide what waits for a person."""

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
"""Each further one is for somebody who decided something else of the same run at the same moment."""
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
                continue  # somebody else may have been quicker: the run as it is now says so
            raise
        break
    report_change(run, f"{DONE[arguments.decision]} ({task})")
    return 0


def choose_task(run: Object, name: str | None) -> str:
    """Return the name of the task to decide.

    Args:
        run: the FlowRun.
        name: what was typed; None for the only one that waits.

    Raises:
        CommandError: that task does not wait for a decision, or it is not clear which is meant; says which do wait.
    """
    waiting = [task["name"] for task in waiting_tasks(run)]
    if name in waiting:
        return str(name)
    subject = f"FlowRun {run['metadata']['name']}"
    if name is None:
        if len(waiting) == 1:
            return str(waiting[0])
        if not waiting:
            raise CommandError(f"no task of {subject} waits for a decision{_child_hint(run)}")
        raise CommandError(
            f"{len(waiting)} tasks of {subject} wait for a decision, name one: {enumerate_names(waiting)}"
        )
    others = f"; there wait: {enumerate_names(waiting)}" if waiting else "; no task does"
    for decision in run["spec"].get("approvals") or ():
        if decision["task"] == name:
            comment = f' ("{decision["comment"]}")' if decision.get("comment") else ""
            done = DONE[decision["decision"]]
            raise CommandError(f"task {name} of {subject} is {done} already{comment}, and a decision can't be changed")
    for task in status_of(run).get("tasks") or ():
        if task["name"] == name:
            raise CommandError(f"task {name} of {subject} is {task['state']}, and waits for no decision{others}")
    names = [task["name"] for task in status_of(run).get("tasks") or ()]
    raise CommandError(f"{subject} has no task {name}{suggest(name, waiting or names)}{others}")


def build_operations(run: Object, task: str, decision: str, comment: str | None) -> Sequence[Object]:
    """Build the change as a JSON Patch that can't touch another decision.

    An entry is appended to the list as it will be then. Two for the same task are refused by the API server, since the
    list's entries are told apart by task. If there is no list yet, there must still be none: a test for null holds only
    where nothing is.

    Args:
        run: the FlowRun as it is.
        task: name of the task.
        decision: Approve or Reject.
        comment: why.
    """
    entry = {"task": task, "decision": decision, **({"comment": comment} if comment else {})}
    if run["spec"].get("approvals"):
        return [{"op": "add", "path": "/spec/approvals/-", "value": entry}]
    return [
        {"op": "test", "path": "/spec/approvals", "value": None},
        {"op": "add", "path": "/spec/approvals", "value": [entry]},
    ]


def _child_hint(run: Object) -> str:
    """Point at child runs that are Paused: their decisions are their own."""
    children = [
        task["run"] for task in status_of(run).get("tasks") or () if task["state"] == "Paused" and task.get("run")
    ]
    return f"; its child runs may: {enumerate_names(children)}" if children else ""
