"""What was measured of the Python SDKs, as JSON, as a Markdown table and as a picture."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH = 860
ROW_HEIGHT = 62
BAR_HEIGHT = 15
BAR_START = 290
BAR_LENGTH = 330
COLOURS = ("#2e7d4f", "#8a93a3")
"""Of our bars, and of theirs."""
MARKS = ("<!-- measured -->", "<!-- end of what was measured -->")
"""In the page, between which the table and the picture stand."""


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
    picture = "\n".join(_picture(measured)) + "\n"
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
        page = docs / "benchmarks-sdk.md"
        (docs / "images").mkdir(exist_ok=True)
        (docs / "images" / "benchmarks-sdk.svg").write_text(picture)
        first, last = MARKS
        text = (
            f"{first}\n{measured.machine}.\n\n{table}\n\n"
            f"![Bars of the medians of Penstock and Prefect](images/benchmarks-sdk.svg)\n{last}"
        )
        pattern = re.escape(first) + ".*?" + re.escape(last)
        page.write_text(re.sub(pattern, lambda _: text, page.read_text(), flags=re.DOTALL))
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


def _picture(measured: Measured) -> Iterator[str]:
    """Draw each row's two medians as bars, on a scale of its own, with lines from the least to the most."""
    compared = [one for one in measured.series if one.theirs]
    height = 76 + ROW_HEIGHT * len(compared)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="DejaVu Sans, Verdana, Arial, sans-serif" font-size="12">'
    )
    yield f"<title>Penstock beside Prefect {escape(measured.version)}</title>"
    yield f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    x = 24
    for name, colour in zip(("Penstock", f"Prefect {measured.version}"), COLOURS, strict=True):
        yield f'<rect x="{x}" y="18" width="14" height="14" rx="3" fill="{colour}"/>'
        yield f'<text x="{x + 21}" y="29" fill="#222">{escape(name)}</text>'
        x += 130
    for number, one in enumerate(compared):
        yield from _row(one, 58 + ROW_HEIGHT * number)
    footnote = f"Medians; lines from the least to the most. {escape(measured.machine)}"
    yield f'<text x="24" y="{height - 10}" fill="#666" font-size="11">{footnote}</text>'
    yield "</svg>"


def _row(one: Series, top: int) -> Iterator[str]:
    row = one.row
    yield f'<text x="24" y="{top + 13}" font-weight="bold" fill="#222">{escape(row.title)}</text>'
    better = "more is better" if row.is_rate else "less is better"
    yield f'<text x="24" y="{top + 31}" fill="#666">{row.unit}, {better}: {one.times():,.0f} times</text>'
    longest = max(*one.ours, *one.theirs)
    for number, (values, colour) in enumerate(zip((one.ours, one.theirs), COLOURS, strict=True)):
        y = top + number * (BAR_HEIGHT + 5)
        median, least, most = (
            value / longest * BAR_LENGTH for value in (statistics.median(values), min(values), max(values))
        )
        middle = y + BAR_HEIGHT / 2
        yield f'<rect x="{BAR_START}" y="{y}" width="{max(1.0, median):.1f}" height="{BAR_HEIGHT}" fill="{colour}"/>'
        yield (
            f'<path d="M{BAR_START + least:.1f} {middle} H{BAR_START + most:.1f}" '
            'stroke="#222" stroke-width="1.5" fill="none"/>'
        )
        yield f'<text x="{BAR_START + most + 10:.1f}" y="{y + 12}" fill="#222">{show(values)} {row.unit}</text>'
