"""The seasons of four years, on this machine or in a cluster: the same code, and the same result.

    python examples/seasons.py                                                  # in this process
    penstock compile examples/seasons.py:seasons --image IMAGE -o seasons.yaml    # a Pod for each task

Nothing in the flow's function depends on data, so it can be compiled. The observations are too many for the outputs of
a Pod: in a cluster they reach the next one through a volume that the tasks of a run share.
"""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path
from typing import NamedTuple

import yaml

from penstock import flow, task, unmapped

FOLDER = Path(__file__).parent
"""The folder of the data, on this machine and in the image."""
SEASONS = ("winter", "spring", "summer", "autumn")


class Day(NamedTuple):
    """One day's observations."""

    date: dt.date
    rain_mm: float
    high: float


@task(retries=2, retry_delay_seconds=[1, 10])
def read_days(source: str) -> list[Day]:
    """Read the observations of Seattle, 2012 to 2015; the head of the file names the source."""
    table = yaml.safe_load((FOLDER / source).read_text(encoding="utf-8"))["data"]["seattle-weather.csv"]
    return [
        Day(dt.date.fromisoformat(row["date"].replace("/", "-")), float(row["precipitation"]), float(row["temp_max"]))
        for row in csv.DictReader(table.splitlines())
    ]


@task
def list_years(days: list[Day]) -> list[int]:
    """List the years that there are observations of."""
    return sorted({day.date.year for day in days})


@task(log_prints=True, timeout_seconds=60)
def sum_up(year: int, days: list[Day], hot: float) -> dict[str, float]:
    """Count the hot days of each season of one year."""
    counts = dict.fromkeys(SEASONS, 0.0)
    for day in days:
        if day.date.year == year and day.high >= hot:
            counts[SEASONS[day.date.month % 12 // 3]] += 1
    print(year, "had", int(sum(counts.values())), "hot days")
    return counts


@task
def compare(years: list[int], counts: list[dict[str, float]]) -> dict[str, str]:
    """Say of each season which year was the hottest."""
    return {
        season: str(max(zip(years, counts, strict=True), key=lambda pair: pair[1][season])[0]) for season in SEASONS
    }


@flow(workspace={"size": "64Mi"})
def seasons(source: str = "weather-data.yaml", hot: float = 25) -> dict[str, str]:
    """Find the year with the hottest winter, spring, summer and autumn."""
    days = read_days(source)
    years = list_years(days)
    counts = sum_up.map(years, unmapped(days), hot)
    return compare(years, counts)


if __name__ == "__main__":
    print(seasons())
