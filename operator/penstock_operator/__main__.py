"""`python -m penstock_operator`: starts the operator, inside a cluster or outside with $KUBECONFIG."""

from __future__ import annotations

import asyncio
import os
import sys

from penstock.errors import PenstockError
from penstock_operator.log import set_up_logging
from penstock_operator.options import parse
from penstock_operator.process import run


def main() -> int:
    """Read the options and run; returns the exit code."""
    try:
        options = parse(sys.argv[1:], os.environ)
        set_up_logging(options.log_level, options.log_format)
        return asyncio.run(run(options, os.environ))
    except PenstockError as error:
        print(f"penstock-operator: {error}", file=sys.stderr)  # noqa: T201 - logging may not be set up
        return 2


if __name__ == "__main__":
    sys.exit(main())
