"""Penstock beside an Indexed Job and a bare loop of POSTs, in one run, on one cluster with fake nodes.

    make bench                                     five rounds of every shape
    .venv/bin/python -m bench --rounds 1 --only chain

Every round runs every way of doing each shape, one after the other, so that whatever the machine does meanwhile happens
to all of them. README.md in this folder says how to read what comes out.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from bench.report import Result, write
from bench.rig import ROOT, UNRECORDED, rig
from bench.shapes import SAME_PODS, SHAPES, Shape


def ways(shape: Shape) -> list[str]:
    """Return the ways in which a shape's work is done."""
    found = ["bare loop", "Penstock"]
    if shape.bar[1] is not None:
        found += ["Penstock, untracked", SAME_PODS]
    if shape.has_job:
        found.append("Indexed Job")
    return found


async def run(options: argparse.Namespace) -> list[Result]:
    """Measure, and return every single result."""
    results: list[Result] = []
    async with rig() as bench, bench.operator():
        for number in range(options.rounds):
            for shape in SHAPES:
                if options.only and not any(word in shape.name for word in options.only):
                    continue
                extra = [UNRECORDED] if options.unrecorded and shape.flow is not None else []
                for way in [*ways(shape), *extra]:
                    result = await bench.measure(shape, way)
                    results.append(result)
                    print(f"round {number + 1}: {result}", flush=True)
    return results


def main() -> None:
    """Measure, print ratios, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="words of the shapes to run; all if not given")
    parser.add_argument("--unrecorded", action="store_true", help="also measure runs without the audit webhook")
    parser.add_argument("--output", type=Path, help="folder for results.json and results.md")
    parser.add_argument("--write-docs", action="store_true", help="put table and picture into docs/benchmarks.md")
    options = parser.parse_args()
    results = asyncio.run(run(options))
    docs = ROOT / "docs" if options.write_docs else None
    print(write(results, {shape.name: shape.bar for shape in SHAPES}, options.output, docs))


if __name__ == "__main__":
    main()
