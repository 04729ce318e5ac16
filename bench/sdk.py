"""Measures the Python SDK beside Prefect's: a table, a picture, and every single number.

    make bench-sdk                                        # Prefect in a virtual environment that is made and removed
    make bench-sdk ARGS="--prefect /path/to/bin/python"   # with the Prefect that this Python has
    make bench-sdk ARGS=--write-docs                      # into docs/benchmarks-sdk.md

Every number is the median of several processes. Each round measures everything once, on both sides in turn, so that a
machine that is busy for a while is busy for both. Logs are off, results are not stored. Prefect runs with the server
that it starts by itself when there is none.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.page import machine
from bench.sdk_report import Measured, Row, Series, write_results

WORKLOAD = Path(__file__).with_name("sdk_workload.py")
REPOSITORY = Path(__file__).parents[1]
OUTPUT = REPOSITORY / "bench-results" / "sdk"

ROWS = (
    Row("import flow and task", "import_ms", 1, 1, "ms", "at most 80"),
    Row("memory after the import", "import_mb", 1, 1, "MB", "at most 40"),
    Row("import of what runs a task in its Pod", "runner_ms", 1, None, "ms", "at most 80"),
    Row("empty flow", "flow_ms", 300, 5, "ms", "at most 3"),
    Row("task.submit().result()", "submit", 5000, 200, "tasks/s", "at least 5,000"),
    Row("task.map().result()", "map", 5000, 200, "tasks/s", "at least 5,000"),
    Row("task()", "call", 5000, 200, "tasks/s", ""),
)


def run(python: Path, module: str, what: str, count: int, home: Path) -> float:
    """Measure once, in a process."""
    environment = {
        **os.environ,
        "PENSTOCK_HOME": str(home),
        "PENSTOCK_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_HOME": str(home),
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    }
    if module == "penstock":
        environment["PYTHONPATH"] = str(REPOSITORY / "sdk")
    answer = subprocess.run(
        [python, WORKLOAD, module, what, str(count)], env=environment, capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        sys.exit(f"{module} {what} failed:\n{answer.stderr[-2000:]}")
    return float(json.loads(answer.stdout.splitlines()[-1]))


@contextlib.contextmanager
def prefect_python(given: Path | None) -> Iterator[Path]:
    """Find the Python that has Prefect, or make one."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        print("installing Prefect into a virtual environment of its own", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "prefect"], check=True)
        yield python


def measure(python: Path, rounds: int) -> Measured:
    """Measure everything, round by round.

    Args:
        python: the Python that has Prefect.
        rounds: processes for each number.
    """
    rows = [row for row in ROWS if row.what != "runner_ms" or importlib.util.find_spec("penstock.runner")]
    series = [Series(row, [], []) for row in rows]
    with tempfile.TemporaryDirectory() as home:
        answer = subprocess.run(
            [python, "-c", "import prefect; print(prefect.__version__)"], capture_output=True, text=True, check=True
        )
        for number in range(1, rounds + 1):
            for row, ours, theirs in series:
                ours.append(run(Path(sys.executable), "penstock", row.what, row.penstock_count, Path(home)))
                if row.prefect_count is not None:
                    theirs.append(run(python, "prefect", row.what, row.prefect_count, Path(home)))
            print(f"round {number} of {rounds} done, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return Measured(machine(rounds), answer.stdout.strip(), series)


def main() -> None:
    """Measure all, and write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--prefect", type=Path, metavar="PYTHON", help="a Python that has Prefect")
    parser.add_argument("--rounds", type=int, default=5, help="processes for each number (default: 5)")
    parser.add_argument("--write-docs", action="store_true", help="put table and picture into docs/benchmarks-sdk.md")
    arguments = parser.parse_args()
    with prefect_python(arguments.prefect) as python:
        measured = measure(python, arguments.rounds)
    print(write_results(measured, OUTPUT, REPOSITORY / "docs" if arguments.write_docs else None))


if __name__ == "__main__":
    main()
