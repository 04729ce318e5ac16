"""How often it rained in Seattle, year by year. Written for Prefect; see docs/from-prefect.md.

PENSTOCK_SECRET_CHAT_TOKEN=secret PENSTOCK_LIMITS=archive=2 python examples/ported/rain.py
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import yaml

from penstock import allow_failure, flow, runtime, task
from penstock.blocks.system import Secret
from penstock.concurrency.sync import concurrency
from penstock.variables import Variable

DATA = Path(__file__).parents[1] / "weather-data.yaml"


def report_failure(_flow: Any, run: Any, state: Any) -> None:
    """Report that a flow failed."""
    token = Secret.load("chat-token").get()
    print(f"(with a token of {len(token)} characters) {run.name}: {state.message}")


@task
def read(year: int) -> list[float]:
    """Return the millimetres of rain of each day of a year."""
    with concurrency("archive", occupy=1):
        table = yaml.safe_load(DATA.read_text(encoding="utf-8"))["data"]["seattle-weather.csv"]
    days = [row for row in csv.DictReader(table.splitlines()) if row["date"].startswith(str(year))]
    if not days:
        raise LookupError(f"the archive has nothing of {year}")
    return [float(row["precipitation"]) for row in days]


@task
def count(days: list[float], limit: float) -> int:
    """Count the wet days."""
    return sum(mm >= limit for mm in days)


@task
def report(counts: Any) -> str:
    """Write a line; a count that failed comes as its exception."""
    return f"{runtime.flow_run.name}: {counts if isinstance(counts, int) else f'no count ({counts})'}"


@flow(flow_run_name="rain-of-{year}")
def rain_of(year: int, limit: float) -> str:
    """Report on one year, whether there is data or not."""
    days = read.submit(year)
    return report.submit(allow_failure(count.submit(days, limit))).result()


@flow(log_prints=True, on_failure=[report_failure])
def rain(first: int = 2012, last: int = 2016) -> list[str]:
    """Report on some years; fail if one of them has no data."""
    limit = float(Variable.get("wet_day_mm", default=1))
    lines = [rain_of(year, limit) for year in range(first, last + 1)]
    for line in lines:
        print(line)
    if any("no count" in line for line in lines):
        raise LookupError("some years have no data")
    return lines


if __name__ == "__main__":
    rain()
