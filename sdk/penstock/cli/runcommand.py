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
    name = "localrun" if arguments.local or arguments.docker else "runinline" if arguments.inline else "run"
    code: int = import_module(f"penstock.cli.{name}").command(arguments)
    return code
