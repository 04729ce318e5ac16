"""`penstock run`: start a run of a Flow."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

from rich.console import Console

from penstock.api.names import API_VERSION
from penstock.cli.cluster import Cluster
from penstock.cli.params import read_params
from penstock.cli.progress import Object
from penstock.cli.watch import watch_run

MAX_PREFIX: Final = 57
"""Length to which a Flow's name is cut: the API server adds a hyphen's worth of five random characters, and a run's
name is at most 63."""


def command(arguments: argparse.Namespace) -> int:
    """Create a FlowRun and, if asked to, stay with it until it is over."""
    cluster = Cluster.connect(arguments)
    flow = cluster.flow(arguments.flow)
    declared = {param["name"]: param.get("type", "string") for param in flow["spec"].get("params") or ()}
    run = cluster.create_run(
        build_run(arguments.flow, name=arguments.name, params=read_params(arguments.params, declared))
    )
    name = run["metadata"]["name"]
    print(f"flowrun.penstock.dev/{name} created", flush=True)
    if arguments.watch or arguments.wait:
        return watch_run(cluster, name, Console(highlight=False), quiet=arguments.wait)
    flags = f" -n {arguments.namespace}" if arguments.namespace else ""
    if sys.stdout.isatty():
        print(f"Next: penstock watch {name}{flags}, penstock logs {name}{flags} -f")
    return 0


def build_run(flow: str, *, name: str | None, params: dict[str, Any]) -> Object:
    """Build the FlowRun.

    Args:
        flow: name of the Flow.
        name: name of the run; None leaves its end to the API server.
        params: values of the Flow's params.
    """
    metadata = {"name": name} if name else {"generateName": f"{flow[:MAX_PREFIX].rstrip('.-')}-"}
    spec: Object = {"flow": {"name": flow}}
    if params:
        spec["params"] = params
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": spec}
