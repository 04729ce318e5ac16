"""The argument `--resume` of scripts with flows: `python etl.py --resume`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final

ARGUMENT: Final = "--resume"
VARIABLE: Final = "PENSTOCK_RESUME"
"""Set by the argument. `last`, `true`, `1`: the last run that did not complete; otherwise the name of a run."""


def take_resume_argument(fn: Callable[..., Any]) -> None:
    """Remove the argument from the command line, if the function is defined in the script that was started.

    This happens when the flow is decorated, before the script parses its arguments, so that its parser need not know
    `--resume`. Programs that only import flows are not affected.

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
