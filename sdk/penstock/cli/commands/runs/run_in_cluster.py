"""`penstock run`: start a run of a Flow of the cluster."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path
from typing import Final

from penstock.cli.cluster.access import Cluster
from penstock.cli.cluster.start_run import build_run, read_options, start
from penstock.cli.manifests.params import read_params, read_params_file
from penstock.drawing.task_rows import Object
from penstock.engine.suggestion import enumerate_names
from penstock.errors import CommandError

FILE_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json", ".py"})


def command(arguments: argparse.Namespace) -> int:
    """Create a FlowRun; with --watch or --wait, wait until it has finished."""
    reject_local_options(arguments)
    (arguments.flow,) = arguments.flow
    options = read_options(arguments, dt.datetime.now().astimezone())
    cluster = Cluster.connect(arguments)
    flow = cluster.get_flow(arguments.flow)
    declared = {param["name"]: param.get("type", "string") for param in flow["spec"].get("params") or ()}
    params = {**read_params_file(arguments.params_file, declared), **read_params(arguments.params, declared)}
    spec: Object = {"flow": {"name": arguments.flow}, **({"params": params} if params else {}), **options}
    return start(cluster, build_run(arguments.flow, name=arguments.name, spec=spec), arguments)


def reject_local_options(arguments: argparse.Namespace) -> None:
    """Reject files, and options that only --local has.

    Raises:
        CommandError: a file or such an option was given.
    """
    names = [name for name in ("parallel", "approve", "reject", "output") if getattr(arguments, name)]
    if names:
        raise CommandError(f"{enumerate_names([f'--{name}' for name in names])}: valid only with --local")
    if len(arguments.flow) > 1 or Path(arguments.flow[0].partition(":")[0]).suffix in FILE_SUFFIXES:
        words = " ".join(arguments.flow)
        raise CommandError(
            f"{words}: to run files, add --local (this machine) or --inline (cluster); without them, name one Flow"
        )
