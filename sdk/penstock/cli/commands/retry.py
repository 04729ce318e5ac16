"""`penstock retry`: a new run that keeps the completed tasks of another run and executes the others."""

from __future__ import annotations

import argparse

from penstock.api.names import LABEL_FLOW
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.start_run import build_run, start
from penstock.cli.text.progress import is_finished, is_successful
from penstock.drawing.task_rows import Object, status_of
from penstock.errors import CommandError


def command(arguments: argparse.Namespace) -> int:
    """Create a FlowRun with `retryOf`; with --watch or --wait, wait until it has finished."""
    cluster = Cluster.connect(arguments)
    run = cluster.get_run(arguments.run)
    check_retriable(run, cluster.hint(f"cancel {arguments.run}"))
    return start(cluster, build_retry(run, name=arguments.name, is_latest=arguments.latest), arguments)


def check_retriable(run: Object, cancel_command: str) -> None:
    """Check that a run can be retried.

    Args:
        run: the FlowRun.
        cancel_command: the command that cancels it.

    Raises:
        CommandError: it has not finished, or it succeeded.
    """
    name, state = run["metadata"]["name"], status_of(run).get("state", "new")
    if not is_finished(run):
        raise CommandError(
            f"FlowRun {name} has not finished ({state}): wait for it, or cancel it with {cancel_command}"
        )
    if is_successful(run):
        raise CommandError(f"FlowRun {name} is {state}, there is nothing to retry; start a new run with penstock run")


def build_retry(run: Object, *, name: str | None, is_latest: bool) -> Object:
    """Build the new run.

    Args:
        run: the finished FlowRun.
        name: name of the new one; None generates one from the name of the Flow.
        is_latest: whether it uses the current Flow.
    """
    metadata = run["metadata"]
    flow = (run["spec"].get("flow") or {}).get("name") or (metadata.get("labels") or {}).get(LABEL_FLOW)
    reference = {"name": metadata["name"], **({"revision": "Latest"} if is_latest else {})}
    retry = build_run(flow or metadata["name"], name=name, spec={"retryOf": reference})
    if flow:
        # Its spec names no Flow; `get --flow` finds it by the label.
        retry["metadata"]["labels"] = {LABEL_FLOW: flow}
    return retry
