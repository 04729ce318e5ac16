"""What was measured of the Python SDKs, as JSON, as a Markdown table and as a picture."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.page import put
from bench.picture import Bar, Group, draw

COLOURS = ("#2e7d4f", "#8a93a3")
"""Of our bars, and of theirs."""


class Row(NamedTuple):
    """One number."""

    title: str
    what: str
    penstock_count: int
    prefect_count: int | None
    """Fewer: for as many as Penstock gets Prefect would need minutes. None: it has nothing of the sort."""
    unit: str
    limit: str
    """What we promise."""

    @property
    def is_rate(self) -> bool:
        """Whether more is better."""
        return self.unit == "tasks/s"


class Series(NamedTuple):
    """What was measured of a row, one number a round."""

    row: Row
    ours: list[float]
    theirs: list[float]

    def times(self) -> float | None:
        """How many times better ours is, by medians."""
        if not self.theirs:
            return None
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        return ours / theirs if self.row.is_rate else theirs / ours


class Measured(NamedTuple):
    """All of it."""

    machine: str
    version: str
    """Of Prefect."""
    series: list[Series]


def write_results(measured: Measured, folder: Path, docs: Path | None) -> str:
    """Write everything to a folder, and if wanted the table and the picture into the documentation.

    Returns:
        The table.
    """
    table = "\n".join(_rows(measured))
    picture = _picture(measured)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(f"{measured.machine}\n\n{table}\n")
    (folder / "results.svg").write_text(picture)
    raw = [
        {"what": one.row.what, "unit": one.row.unit, "ours": one.ours, "theirs": one.theirs} for one in measured.series
    ]
    (folder / "results.json").write_text(
        json.dumps({"machine": measured.machine, "prefect": measured.version, "series": raw}, indent=1) + "\n"
    )
    if docs is not None:
        (docs / "images").mkdir(exist_ok=True)
        (docs / "images" / "benchmarks-sdk.svg").write_text(picture)
        image = "![Bars of the medians of Penstock and Prefect](images/benchmarks-sdk.svg)"
        put(docs / "benchmarks-sdk.md", "measured", f"{measured.machine}.\n\n{table}\n\n{image}")
    return table


def show(values: Sequence[float]) -> str:
    """Write a median and the range around it."""
    digits = 2 if statistics.median(values) < 10 else 0  # noqa: PLR2004 - below, whole numbers say too little
    median, least, most = statistics.median(values), min(values), max(values)
    return f"{median:,.{digits}f} [{least:,.{digits}f} to {most:,.{digits}f}]"


def _rows(measured: Measured) -> Iterator[str]:
    yield f"| | Penstock | Prefect {measured.version} | times | promised |"
    yield "|---|---|---|---|---|"
    for one in measured.series:
        theirs = f"{show(one.theirs)} {one.row.unit}" if one.theirs else ""
        times = one.times()
        cells = (
            one.row.title,
            f"{show(one.ours)} {one.row.unit}",
            theirs,
            f"{times:,.0f}" if times else "",
            one.row.limit,
        )
        yield f"| {' | '.join(cells)} |"


def _picture(measured: Measured) -> str:
    theirs = f"Prefect {measured.version}"
    groups = [
        Group(
            one.row.title,
            f"{one.row.unit}, {'more' if one.row.is_rate else 'less'} is better: {one.times():,.0f} times",
            [
                Bar(name, values, f"{show(values)} {one.row.unit}")
                for name, values in (("Penstock", one.ours), (theirs, one.theirs))
            ],
        )
        for one in measured.series
        if one.theirs
    ]
    colours = dict(zip(("Penstock", theirs), COLOURS, strict=True))
    footnote = f"Medians; lines from the least to the most. {measured.machine}"
    return draw(f"Penstock beside Prefect {measured.version}", groups, colours=colours, footnote=footnote)
