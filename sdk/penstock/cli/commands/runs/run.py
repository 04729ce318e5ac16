"""`penstock run`: selects where to run: a Flow in the cluster, files in the cluster, or files on this machine."""

from __future__ import annotations

import argparse
from importlib import import_module

from penstock.errors import CommandError


def command(arguments: argparse.Namespace) -> int:
    """Call the module for this kind of run. It is imported on demand: a local run needs no client."""
    if arguments.inline and (arguments.local or arguments.docker):
        raise CommandError(
            "--inline runs files in the cluster, --local and --docker on this machine; use only one of them"
        )
    if arguments.image is not None and not arguments.inline:
        raise CommandError("--image requires --inline")
    name = (
        "run_local" if arguments.local or arguments.docker else "run_inline" if arguments.inline else "run_in_cluster"
    )
    code: int = import_module(f"penstock.cli.commands.runs.{name}").command(arguments)
    return code
