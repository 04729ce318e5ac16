"""Four years of weather as a Python flow: the same data and the same answers as examples/weather.yaml.

    python examples/weather.py
    python examples/weather.py --resume      # after it was stopped: years that are done are not read again

It runs in this process. Each year is a task, the years run concurrently, and the results of years are stored.
"""

from __future__ import annotations

import csv
import datetime as dt
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import yaml

from penstock import State, Task, TaskRun, flow, get_run_logger, runtime, task, unmapped
from penstock.artifacts import create_table_artifact

DATA = Path(__file__).with_name("weather-data.yaml")
"""Seattle, 2012 to 2015; the head of the file says where it comes from."""


class Day(NamedTuple):
    """One day's observations."""

    date: dt.date
    rain_mm: float
    high: float
    low: float


class Year(TypedDict):
    """The summary of a year."""

    year: int
    mean_high: float
    rain_mm: float
    wet_days: int
    hottest: str


def is_passing(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failure is transient: an archive may answer next time, but a missing day stays missing."""
    return isinstance(state.result(raise_on_failure=False), OSError)


@task(retries=3, retry_delay_seconds=[0.1, 1, 10], retry_jitter_factor=0.1, retry_condition_fn=is_passing)
def extract(source: Path, *, flaky: bool) -> list[Day]:
    """Read the observations, and check that no day is missing."""
    if flaky and runtime.task_run.run_count == 1:
        raise ConnectionError("the archive did not answer (this first attempt fails on purpose)")
    days = list(read_days(source))
    for day, following in itertools.pairwise(days):
        if following.date - day.date != dt.timedelta(days=1):
            raise ValueError(f"days are missing between {day.date} and {following.date}")
    return days


@task(persist_result=True, task_run_name="year-{year}", timeout_seconds=60)
def summarise(year: int, days: list[Day], wet_day_mm: float) -> Year:
    """Sum up one year."""
    own = [day for day in days if day.date.year == year]
    hottest = max(own, key=lambda day: day.high)
    return Year(
        year=year,
        mean_high=round(sum(day.high for day in own) / len(own), 2),
        rain_mm=round(sum(day.rain_mm for day in own), 1),
        wet_days=sum(day.rain_mm >= wet_day_mm for day in own),
        hottest=f"{hottest.date} {hottest.high} °C",
    )


@task
def compare(years: list[Year]) -> tuple[float, Year]:
    """Return by how many degrees the last year was warmer than the first, and the driest one."""
    return round(years[-1]["mean_high"] - years[0]["mean_high"], 1), min(years, key=lambda year: year["rain_mm"])


@flow(log_prints=True, timeout_seconds=300)
def weather(source: Path = DATA, wet_day_mm: float = 1, flaky: bool = True) -> float:  # noqa: FBT001, FBT002 - a parameter
    """Compare the years, and show them as a table."""
    days = extract(source, flaky=flaky)
    years = sorted({day.date.year for day in days})
    summaries = summarise.map(years, unmapped(days), wet_day_mm).result()
    warming, driest = compare(summaries)
    create_table_artifact(summaries, key="years", description="How four years of weather in Seattle compare")
    get_run_logger().info("The driest year was %d, with %.1f mm of rain", driest["year"], driest["rain_mm"])
    print(f"{len(days)} days; {years[-1]} was {warming} °C warmer than {years[0]}")
    return warming


def read_days(source: Path) -> Iterator[Day]:
    """Read the observations out of the ConfigMap that brings them into a cluster."""
    table = yaml.safe_load(source.read_text(encoding="utf-8"))["data"]["seattle-weather.csv"]
    for row in csv.DictReader(table.splitlines()):
        date = dt.date.fromisoformat(row["date"].replace("/", "-"))
        yield Day(date, float(row["precipitation"]), float(row["temp_max"]), float(row["temp_min"]))


if __name__ == "__main__":
    weather(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
