"""`penstock version`."""

from __future__ import annotations

import argparse

import penstock
from penstock.cli.text.echo import echo


def command(arguments: argparse.Namespace) -> int:  # noqa: ARG001 - every command has the same signature
    """Print the version of this package."""
    echo(f"penstock {penstock.__version__}")
    return 0
