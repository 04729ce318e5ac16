"""Dates as texts."""

from datetime import date, datetime
from prefect import flow


@flow
def main(day: date, at: datetime):
    return day.isoformat(), at.isoformat()


print(main("2026-01-02", "2026-01-02T03:04:05"))
