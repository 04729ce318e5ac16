"""`python -m penstock_operator`: starts the operator, inside a cluster or outside with $KUBECONFIG."""

from __future__ import annotations

import asyncio
import gc
import os
import sys

from penstock.errors import PenstockError
from penstock.memory_limit import limit_expression_memory
from penstock.printable import make_printable
from penstock_operator.event_loop import RestingSelector, new_event_loop
from penstock_operator.log import set_up_logging
from penstock_operator.options import parse
from penstock_operator.process import run

YOUNG_OBJECTS = 10_000
"""A collection of the youngest objects begins after so many new ones. Hundreds of them belong to each run and are not
garbage; with CPython's 700 an operator with a thousand runs spends a tenth of its time on examining them."""


def main() -> int:
    """Read the options and run; returns the exit code."""
    limit_expression_memory()
    try:
        options = parse(sys.argv[1:], os.environ)
        set_up_logging(options.log_level, options.log_format)
        collect_garbage_less_often()
        selector = RestingSelector()
        with asyncio.Runner(loop_factory=lambda: new_event_loop(selector)) as runner:
            return runner.run(run(options, os.environ, selector))
    except PenstockError as error:
        text = make_printable(f"penstock-operator: {error}")
        print(text, file=sys.stderr)  # noqa: T201 - logging may not be set up
        return 2


def collect_garbage_less_often() -> None:
    """Adapt Python's garbage collector to an operator."""
    # What is imported stays: no collection needs to examine it.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


if __name__ == "__main__":
    sys.exit(main())
