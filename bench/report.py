"""Medians, spreads and ratios of what was measured, as JSON and as a Markdown table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

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


def write(results: Sequence[Result], bars: Mapping[str, tuple[float | None, float | None]], folder: Path | None) -> str:
    """Return the table of medians; with a folder, also write it there, with every single result beside it."""
    table = "\n".join(_rows(results, bars))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps([asdict(result) for result in results], indent=1))
        (folder / "results.md").write_text(table + "\n")
    return table


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
