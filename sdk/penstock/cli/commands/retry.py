"""`penstock retry`: a new run that keeps what another one completed and runs the rest."""

from __future__ import annotations

import argparse

from penstock.api.names import LABEL_FLOW
from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.start_run import build_run, start
from penstock.cli.text.progress import is_finished, is_successful
from penstock.drawing.task_rows import Object, status_of
from penstock.errors import CommandError


def command(arguments: argparse.Namespace) -> int:
    """Create a FlowRun with `retryOf` and, if asked to, stay with it until it is over."""
    cluster = Cluster.connect(arguments)
    run = cluster.get_run(arguments.run)
    check_retriable(run, cluster.hint(f"cancel {arguments.run}"))
    return start(cluster, build_retry(run, name=arguments.name, is_latest=arguments.latest), arguments)


def check_retriable(run: Object, cancelling: str) -> None:
    """Say why a run can't be retried.

    Args:
        run: the FlowRun.
        cancelling: what to type to end it early.

    Raises:
        CommandError: it is not over, or ended well.
    """
    name, state = run["metadata"]["name"], status_of(run).get("state", "new")
    if not is_finished(run):
        raise CommandError(f"FlowRun {name} is not over ({state}): wait for its end, or end it with {cancelling}")
    if is_successful(run):
        raise CommandError(f"FlowRun {name} is {state}: there is nothing left to run; start another with penstock run")


def build_retry(run: Object, *, name: str | None, is_latest: bool) -> Object:
    """Build the new run.

    Args:
        run: the FlowRun that is over.
        name: name of the new one; None makes one from the Flow's.
        is_latest: whether it gets the Flow as it is now.
    """
    metadata = run["metadata"]
    flow = (run["spec"].get("flow") or {}).get("name") or (metadata.get("labels") or {}).get(LABEL_FLOW)
    reference = {"name": metadata["name"], **({"revision": "Latest"} if is_latest else {})}
    retry = build_run(flow or metadata["name"], name=name, spec={"retryOf": reference})
    if flow:
        # Its spec names no Flow: by the label it is found all the same.
        retry["metadata"]["labels"] = {LABEL_FLOW: flow}
    return retry
