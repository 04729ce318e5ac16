"""`penstock version`."""

from __future__ import annotations

import argparse

import penstock


def command(arguments: argparse.Namespace) -> int:  # noqa: ARG001 - every command has the same signature
    """Print the version of this package."""
    print(f"penstock {penstock.__version__}")
    return 0
