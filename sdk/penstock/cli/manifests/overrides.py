"""Options that override fields of a run's manifest or Flow."""

from __future__ import annotations

import argparse
from typing import Any

from penstock.api.duration import duration_s
from penstock.errors import CommandError, DurationError


def read_overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Read the options that override fields of the spec.

    Args:
        arguments: with `priority` and `timeout`, each None unless given.

    Returns:
        Fields of the run's spec.

    Raises:
        CommandError: a value is invalid.
    """
    fields: dict[str, Any] = {}
    if arguments.priority is not None:
        fields["priority"] = arguments.priority
    if arguments.timeout is not None:
        try:
            duration_s(arguments.timeout)
        except DurationError as error:
            raise CommandError(f"--timeout {arguments.timeout}: {error}") from error
        fields["timeout"] = arguments.timeout
    return fields
