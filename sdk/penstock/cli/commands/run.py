"""`penstock run`, wherever that is: in the cluster, of a Flow there or of files, or on this machine."""

from __future__ import annotations

import argparse
from importlib import import_module

from penstock.errors import CommandError


def command(arguments: argparse.Namespace) -> int:
    """Run what was named where it was asked for. Only what that needs is imported: a local run needs no client."""
    if arguments.inline and (arguments.local or arguments.docker):
        raise CommandError("--inline runs files in the cluster, --local and --docker on this machine: leave one out")
    if arguments.image is not None and not arguments.inline:
        raise CommandError("--image: only with --inline, of a Python flow")
    name = (
        "run_local" if arguments.local or arguments.docker else "run_inline" if arguments.inline else "run_in_cluster"
    )
    code: int = import_module(f"penstock.cli.commands.{name}").command(arguments)
    return code
