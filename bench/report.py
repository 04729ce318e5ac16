"""Medians, spreads and ratios of what was measured, as JSON and as a Markdown table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.page import machine, put
from bench.picture import Bar, Group, draw
from bench.shapes import SAME_PODS

COLUMNS = (
    "shape",
    "way",
    "makespan s, median (least to most)",
    "times the bare loop",
    "bar",
    "writes a Pod",
    "kB a Pod",
    "operator ms a Pod",
    "control plane ms a Pod",
    "hop ms p50, p95",
)
COLOURS = {
    "bare loop": "#8a93a3",
    SAME_PODS: "#b7bdc8",
    "Penstock": "#2e7d4f",
    "Penstock, untracked": "#7fb796",
    "Indexed Job": "#b0763a",
}
"""Of the bars, in their order."""
CONTROL_PLANE = ("apiserver", "etcd", "scheduler", "controller-manager", "kwok")


@dataclass(frozen=True)
class Result:
    """One shape, done once, one way."""

    shape: str
    way: str
    makespan_s: float
    hops_ms: list[float]
    writes_per_pod: float
    kilobytes_per_pod: float
    requests_per_pod: dict[str, float]
    cpu_ms_per_pod: dict[str, float]
    peak_mib: dict[str, float]

    def __str__(self) -> str:
        """Return the result as a line."""
        return (
            f"{self.shape}, {self.way}: {self.makespan_s:.2f} s, {self.writes_per_pod:.2f} writes a Pod, "
            f"operator {self.cpu_ms_per_pod['operator']:.2f} ms a Pod"
        )


def write(
    results: Sequence[Result],
    bars: Mapping[str, tuple[float | None, float | None]],
    folder: Path | None,
    docs: Path | None = None,
) -> str:
    """Return the table of medians.

    Args:
        results: every single one.
        bars: the most that we allow ourselves, in times of the bare loop, tracked and untracked, by shape.
        folder: where to write the table, the picture and every result; None: nowhere.
        docs: the documentation, to put table and picture into; None: leave it alone.
    """
    table = "\n".join(_rows(results, bars))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps([asdict(result) for result in results], indent=1))
        (folder / "results.md").write_text(table + "\n")
    if docs is not None:
        one = results[0]
        where = machine(sum((result.shape, result.way) == (one.shape, one.way) for result in results))
        (docs / "images").mkdir(exist_ok=True)
        (docs / "images" / "benchmarks.svg").write_text(_picture(results, where))
        image = "![Makespans of each shape, done in each way](images/benchmarks.svg)"
        put(docs / "benchmarks.md", "measured", f"{where}.\n\n{table}\n\n{image}")
    return table


def _picture(results: Sequence[Result], where: str) -> str:
    groups = []
    for shape in dict.fromkeys(result.shape for result in results):
        bare = _median(results, shape, "bare loop")
        bars = []
        for way in COLOURS:
            times = [result.makespan_s for result in results if (result.shape, result.way) == (shape, way)]
            if times:
                median = statistics.median(times)
                bars.append(Bar(way, times, f"{median:.2f} s, {median / bare:.2f} times"))
        groups.append(Group(shape, "seconds, less is better", bars))
    footnote = f"Medians; lines from the least to the most; times those of the bare loop. {where}"
    return draw("Penstock beside a bare loop and an Indexed Job", groups, colours=COLOURS, footnote=footnote)


def _rows(results: Sequence[Result], bars: Mapping[str, tuple[float | None, float | None]]) -> list[str]:
    rows = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for shape in dict.fromkeys(result.shape for result in results):
        bare = _median(results, shape, "bare loop")
        for way in dict.fromkeys(result.way for result in results if result.shape == shape):
            chosen = [result for result in results if (result.shape, result.way) == (shape, way)]
            times = [result.makespan_s for result in chosen]
            bar = {"Penstock": bars[shape][0], "Penstock, untracked": bars[shape][1]}.get(way)
            hops = sorted(hop for result in chosen for hop in result.hops_ms) if way == "Penstock" else []
            cells = [
                shape,
                way,
                f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})",
                f"{statistics.median(times) / bare:.2f}",
                "" if bar is None else f"{bar:.2f}",
                f"{statistics.median(one.writes_per_pod for one in chosen):.2f}",
                f"{statistics.median(one.kilobytes_per_pod for one in chosen):.1f}",
                f"{statistics.median(one.cpu_ms_per_pod['operator'] for one in chosen):.2f}",
                f"{statistics.median(_control_plane(one) for one in chosen):.1f}",
                f"{hops[len(hops) // 2]:.1f}, {hops[len(hops) * 95 // 100]:.1f}" if hops else "",
            ]
            rows.append(f"| {' | '.join(cells)} |")
    return rows


def _median(results: Sequence[Result], shape: str, way: str) -> float:
    return statistics.median(one.makespan_s for one in results if (one.shape, one.way) == (shape, way))


def _control_plane(result: Result) -> float:
    return sum(result.cpu_ms_per_pod.get(name, 0.0) for name in CONTROL_PLANE)
