"""The entry point of the Pod of a task."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Final

from penstock.authoring.pods import entrypoint
from penstock.authoring.pods.pod_call import CALL, CODE_DIGEST, EXIT_FAILED, EXIT_NOT_AGAIN, SOURCE, VALUES
from penstock.errors import CodeError, PenstockError
from penstock.runner.storage import UnreachableError

OUTPUTS: Final = "PENSTOCK_OUTPUTS"


def main() -> int:
    """Run the call that the environment describes, and return the exit code of the container."""
    try:
        call, values = _read()
        if os.environ.get(SOURCE):
            from penstock.runner.code_fetch import fetch_code  # noqa: PLC0415 - most images have the code

            fetch_code()
        elif os.environ.get(CODE_DIGEST):
            from penstock.runner.code_check import check_code  # noqa: PLC0415 - as above

            check_code()
        entrypoint.search_code()
        if "task" in call:
            from penstock.runner.task import run_task  # noqa: PLC0415 - only what is needed is imported

            code, outputs = run_task(call, values)
        elif "hooks" in call:
            from penstock.runner.hooks import run_hooks  # noqa: PLC0415 - as above

            code, outputs = run_hooks(call, values)
        else:
            from penstock.runner.flow import run_flow  # noqa: PLC0415 - as above

            code, outputs = run_flow(call, values)
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)
        # A retry may succeed, for example if the network was down.
        return EXIT_FAILED if isinstance(error, UnreachableError | CodeError) else EXIT_NOT_AGAIN
    if outputs is not None and (path := os.environ.get(OUTPUTS)):
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is a tenth of a task's start
            json.dump(outputs, file, separators=(",", ":"), ensure_ascii=False)
    return code


def _read() -> tuple[dict[str, Any], list[Any]]:
    """Return the call, and the values of its slots."""
    if CALL not in os.environ:
        raise PenstockError(f"{CALL} is not set: this module runs in Flows that `penstock compile` writes")
    values: list[Any] = []
    number = 0
    while (text := os.environ.get(f"{VALUES}_{number}" if number else VALUES)) is not None:
        values += json.loads(text)
        number += 1
    return json.loads(os.environ[CALL]), values


if __name__ == "__main__":
    sys.exit(main())
