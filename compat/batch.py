"""Runs many programs in one interpreter, and writes one JSON line for each: what it printed, and how it ended.

    python batch.py prefect|penstock OUTPUT PROGRAM...

It uses the standard library only, because the Python that has Prefect runs it as well. Each program runs as a script,
in a folder of its own. Prefect's server is started once for all of them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

LIMIT_S = 60
"""How long a program may take."""
GIVEN_UP = f"did not end within {LIMIT_S} s"
STUCK = 3
"""The exit code after a program that did not end: the others are run by another process."""


@contextlib.contextmanager
def in_folder(folder: str) -> Iterator[None]:
    """Run the block in a folder."""
    before = os.getcwd()  # noqa: PTH109 - it goes back to where it was, as text
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run(path: Path) -> dict[str, Any]:
    """Run a program, and return its name, its lines, and the exception that ended it."""
    printed, error = io.StringIO(), None
    with (
        tempfile.TemporaryDirectory(prefix="compat-") as folder,
        in_folder(folder),
        contextlib.redirect_stdout(printed),
    ):
        os.environ["PENSTOCK_HOME"] = str(Path(folder) / "home")
        signal.alarm(LIMIT_S)
        try:
            runpy.run_path(str(path), run_name="__main__")
        except BaseException as raised:  # noqa: BLE001 - how a program ends is what is compared
            error = f"{type(raised).__name__}: {raised}".split("\n", maxsplit=1)[0]
        finally:
            signal.alarm(0)
    return {"name": path.stem, "lines": printed.getvalue().splitlines(), "error": error}


def _give_up(_number: int, _frame: FrameType | None) -> None:
    raise RuntimeError(GIVEN_UP)


def main() -> None:
    """Run all programs."""
    which, output, *programs = sys.argv[1:]
    signal.signal(signal.SIGALRM, _give_up)
    with contextlib.ExitStack() as stack:
        if which == "prefect":
            from prefect.testing.utilities import (  # type: ignore[import-not-found]  # noqa: PLC0415 - this side only
                prefect_test_harness,
            )

            stack.enter_context(prefect_test_harness(server_startup_timeout=120))
        file = stack.enter_context(open(output, "a", encoding="utf-8"))  # noqa: PTH123 - as short as it can be
        for program in programs:
            record = run(Path(program))
            file.write(json.dumps(record) + "\n")
            file.flush()
            if GIVEN_UP in (record["error"] or ""):
                # Whatever it has left behind, and the server that it used, must not be that of the next one.
                os._exit(STUCK)


if __name__ == "__main__":
    main()
