"""Measures the Python SDK beside Prefect's, and prints a table.

    python bench/sdk.py                                  # Prefect in a virtual environment that is made and removed
    python bench/sdk.py --prefect /path/to/bin/python    # with the Prefect that this Python has

Every number is the median of several processes, which take turns, so that a busy machine is busy for both. Logs are
off, results are not stored. Prefect runs with the server that it starts by itself when there is none.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

WORKLOAD = Path(__file__).with_name("sdk_workload.py")
REPOSITORY = Path(__file__).parents[1]


class Row(NamedTuple):
    """One line of the table."""

    title: str
    what: str
    penstock_count: int
    prefect_count: int
    """Fewer: for as many as Penstock gets Prefect would need minutes."""
    unit: str
    limit: str
    """What we promise."""


ROWS = (
    Row("import flow and task", "import_ms", 1, 1, "ms", "at most 80"),
    Row("memory after the import", "import_mb", 1, 1, "MB", "at most 40"),
    Row("empty flow", "flow_ms", 300, 5, "ms", "at most 3"),
    Row("task.submit().result()", "submit", 5000, 200, "tasks/s", "at least 5,000"),
    Row("task.map().result()", "map", 5000, 200, "tasks/s", "at least 5,000"),
    Row("task()", "call", 5000, 200, "tasks/s", ""),
)


def run(python: Path, module: str, row: Row, home: Path) -> float:
    """Measure once, in a process."""
    count = row.penstock_count if module == "penstock" else row.prefect_count
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
        [python, WORKLOAD, module, row.what, str(count)], env=environment, capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        sys.exit(f"{module} {row.what} failed:\n{answer.stderr[-2000:]}")
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


def main() -> None:
    """Measure all and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--prefect", type=Path, metavar="PYTHON", help="a Python that has Prefect")
    parser.add_argument("--runs", type=int, default=5, help="processes for each number (default: 5)")
    arguments = parser.parse_args()
    with prefect_python(arguments.prefect) as other, tempfile.TemporaryDirectory() as home:
        version = subprocess.run(
            [other, "-c", "import prefect; print(prefect.__version__)"], capture_output=True, text=True, check=True
        ).stdout.strip()
        print(f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
        print(f"median of {arguments.runs} processes [least to most]\n")
        print(f"| | Penstock | Prefect {version} | times | promised |\n|---|---|---|---|---|")
        for row in ROWS:
            mine: list[float] = []
            theirs: list[float] = []
            for _ in range(arguments.runs):
                mine.append(run(Path(sys.executable), "penstock", row, Path(home)))
                theirs.append(run(other, "prefect", row, Path(home)))
            a, b = statistics.median(mine), statistics.median(theirs)
            better = a / b if row.unit == "tasks/s" else b / a
            print(
                f"| {row.title} | {show(mine)} {row.unit} | {show(theirs)} {row.unit} | {better:,.0f} | {row.limit} |"
            )


def show(values: list[float]) -> str:
    """Write a median and the range around it."""
    digits = 2 if statistics.median(values) < 10 else 0  # noqa: PLR2004 - below, whole numbers say too little
    median, least, most = statistics.median(values), min(values), max(values)
    return f"{median:,.{digits}f} [{least:,.{digits}f} to {most:,.{digits}f}]"


if __name__ == "__main__":
    main()
