"""The last runs of a Flow, Schedule or Backfill, in its description. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Final

from penstock.cli.text.console import Text
from penstock.cli.text.description import heading
from penstock.cli.text.run_table import RunCells, run_table

MAX_RUNS: Final = 10


def recent_section(runs: Sequence[RunCells], now: dt.datetime) -> Iterator[Text]:
    """Return the last runs, the newest last.

    Args:
        runs: the runs, the newest last.
        now: the current time, aware.
    """
    if not runs:
        return
    yield from heading("Runs" if len(runs) <= MAX_RUNS else f"Last {MAX_RUNS} of {len(runs)} runs")
    for line in run_table(runs[-MAX_RUNS:], now):
        yield Text("  ").append(line)
