"""The argument `--resume` of a script that has flows: `python etl.py --resume`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

ARGUMENT: Final = "--resume"
VARIABLE: Final = "PENSTOCK_RESUME"
"""What the argument sets: empty is no; `last`, `true`, `1` the last run that did not complete; else a run's name."""


def take_resume_argument(fn: Callable[..., Any]) -> None:
    """Take the argument off the command line, if the function stands in the script that was started.

    It happens when the flow is decorated, which is before the script parses arguments of its own: those need not
    know about it. The command line of a program that only imports flows is its own affair.

    Args:
        fn: the function of the flow.
    """
    if fn.__module__ != "__main__":
        return
    for position, argument in enumerate(sys.argv[1:], start=1):
        name, _, run = argument.partition("=")
        if name == ARGUMENT:
            os.environ[VARIABLE] = run or "last"
            del sys.argv[position]
            return
