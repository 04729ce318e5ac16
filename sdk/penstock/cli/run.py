"""`penstock run`: start a run of a Flow."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from penstock.api.names import API_VERSION
from penstock.cli.cluster import Cluster
from penstock.cli.control import report
from penstock.cli.moment import read_moment, write_moment
from penstock.cli.overrides import MAX_PREFIX, read_overrides
from penstock.cli.params import read_params, read_params_file
from penstock.cli.progress import Object
from penstock.cli.watch import watch_run
from penstock.engine.suggestion import enumerate_names
from penstock.errors import CommandError

FILE_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json", ".py"})


def command(arguments: argparse.Namespace) -> int:
    """Create a FlowRun and, if asked to, stay with it until it is over."""
    refuse_what_is_local(arguments)
    (arguments.flow,) = arguments.flow
    options = read_options(arguments, dt.datetime.now().astimezone())
    cluster = Cluster.connect(arguments)
    flow = cluster.flow(arguments.flow)
    declared = {param["name"]: param.get("type", "string") for param in flow["spec"].get("params") or ()}
    params = {**read_params_file(arguments.params_file, declared), **read_params(arguments.params, declared)}
    spec: Object = {"flow": {"name": arguments.flow}, **({"params": params} if params else {}), **options}
    return start(cluster, build_run(arguments.flow, name=arguments.name, spec=spec), arguments)


def refuse_what_is_local(arguments: argparse.Namespace) -> None:
    """Make sure that nothing was typed that only a run on this machine has.

    Raises:
        CommandError: something was; the message says what to do.
    """
    names = [name for name in ("parallel", "approve", "reject", "output") if getattr(arguments, name)]
    if names:
        raise CommandError(f"{enumerate_names([f'--{name}' for name in names])}: only with --local")
    if len(arguments.flow) > 1 or Path(arguments.flow[0]).suffix in FILE_SUFFIXES:
        words = " ".join(arguments.flow)
        raise CommandError(
            f"{words}: to run files on this machine add --local, in the cluster --inline; or name one Flow"
        )


def start(
    cluster: Cluster, body: Object, arguments: argparse.Namespace, *, then: Callable[[Object], None] | None = None
) -> int:
    """Create a FlowRun and, if asked to, stay with it.

    Args:
        cluster: where.
        body: the FlowRun.
        arguments: with `watch` and `wait`.
        then: called with the run when it is created, before it is told.

    Returns:
        The exit code.
    """
    run = cluster.create_run(body)
    if then is not None:
        then(run)
    name, due = run["metadata"]["name"], run["spec"].get("scheduledTime")
    advice = f"Next: {cluster.hint(f'watch {name}')}, {cluster.hint(f'logs {name} -f')}"
    report(run, f"created, due {due}" if due else "created", "" if arguments.watch or arguments.wait else advice)
    if arguments.watch or arguments.wait:
        return watch_run(cluster, name, Console(highlight=False), quiet=arguments.wait)
    return 0


def read_options(arguments: argparse.Namespace, now: dt.datetime) -> dict[str, Any]:
    """Read the options that are fields of a run's spec.

    Args:
        arguments: with `at`, `priority` and `timeout`, each None unless typed.
        now: the present, in this machine's zone.

    Returns:
        The fields.

    Raises:
        CommandError: one can't be read.
    """
    fields = read_overrides(arguments)
    if arguments.at is not None:
        fields["scheduledTime"] = write_moment(read_moment(arguments.at, now))
    return fields


def build_run(flow: str, *, name: str | None, spec: Object) -> Object:
    """Build a FlowRun.

    Args:
        flow: name of the Flow, from which that of the run is made.
        name: name of the run; None leaves its end to the API server.
        spec: its spec.
    """
    metadata = {"name": name} if name else {"generateName": f"{flow[:MAX_PREFIX].rstrip('.-')}-"}
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": spec}
