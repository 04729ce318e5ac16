"""Options that several commands have."""

from __future__ import annotations

import argparse
from typing import Any

Commands = Any
"""What `add_subparsers` returns: its type is private to argparse."""


def add_wait_options(parser: argparse.ArgumentParser) -> None:
    """Add `--watch` and `--wait`."""
    ending = parser.add_mutually_exclusive_group()
    ending.add_argument("--watch", action="store_true", help="watch it until it has finished, like penstock watch")
    ending.add_argument(
        "--wait", action="store_true", help="wait until it has finished; exit code 0 only if it succeeded"
    )


def add_params(parser: argparse.ArgumentParser, text: str = "value of a param") -> None:
    """Add `-p`.

    Args:
        parser: of the command.
        text: what the value is for.
    """
    parser.add_argument(
        "-p",
        "--param",
        dest="params",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help=f"{text}: text for a string param, else JSON (repeatable)",
    )
