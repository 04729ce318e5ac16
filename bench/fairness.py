"""How much one namespace with thousands of queued attempts delays the runs of another, on a cluster with fake nodes.

    .venv/bin/python -m bench.fairness [--runs 20] [--noisy-runs 5] [--json FILE]

First a namespace creates runs of one task, one after the other, with nothing beside them. Then it does so again while
another namespace has fan-outs of 2,000 items in progress: 10,000 attempts that wait to be created. The time of a run
goes from its POST to the moment when a watch has shown it finished.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
import uuid
from pathlib import Path
from typing import Any, Final

from bench.page import machine, rows
from bench.rig import FLOWRUNS, POLL_S, Ask, Bench, rig
from bench.shapes import API_VERSION, IMAGE, Body

ITEMS: Final = 2_000
"""Of a noisy run: the most that a fan-out has in progress."""
UNDER_WAY: Final = 200
"""Pods that the noisy namespace has before the other one begins."""
LIMIT_S: Final = 120.0
PAUSE_S: Final = 0.5

Numbers = dict[str, float | str]


def _run(name: str, tasks: list[Body]) -> Body:
    spec = {"flowSpec": {"defaults": {"image": IMAGE}, "tasks": tasks}}
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": {"name": name}, "spec": spec}


async def measure(bench: Bench, what: str, runs: int) -> Numbers:
    """Create runs one after the other, and return how long they took."""
    namespace = f"bench-quiet-{uuid.uuid4().hex[:8]}"
    await bench.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    posted: dict[str, float] = {}
    try:
        async with bench.watching(namespace) as ask:
            for number in range(runs):
                name = f"run-{number}"
                posted[name] = time.time()
                await bench.post(FLOWRUNS.format(namespace=namespace), _run(name, [{"name": "main"}]))
                await _until(ask, "runs", number + 1)
                await asyncio.sleep(PAUSE_S)
            ends = (await ask("report"))["runs"]["finished"]
    finally:
        await bench.clear(namespace)
    took = sorted(ends[name] - at for name, at in posted.items())
    return {"what": what, "median s": statistics.median(took), "slowest s": took[-1], "runs": str(runs)}


async def _until(ask: Ask, kind: str, most: int) -> None:
    ends_at = time.monotonic() + LIMIT_S
    while (seen := (await ask("count"))[kind]) < most:
        if time.monotonic() > ends_at:
            raise SystemExit(f"{seen} of {most} {kind} finished after {LIMIT_S:g} s")
        await asyncio.sleep(POLL_S / 4)


async def beside_noise(bench: Bench, runs: int, noisy_runs: int) -> Numbers:
    """Measure the same beside a namespace with many attempts."""
    namespace = f"bench-noisy-{uuid.uuid4().hex[:8]}"
    await bench.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    try:
        async with bench.watching(namespace) as ask:
            for number in range(noisy_runs):
                tasks: list[Body] = [{"name": "each", "forEach": {"count": ITEMS}}]
                await bench.post(FLOWRUNS.format(namespace=namespace), _run(f"noisy-{number}", tasks))
            await _until(ask, "pods", UNDER_WAY)
            found = await measure(bench, f"beside {noisy_runs * ITEMS:,} attempts of another", runs)
            left = noisy_runs * ITEMS - (await ask("count"))["pods"]
    finally:
        await bench.clear(namespace)
    return {**found, "attempts left": str(left)}


async def run(options: argparse.Namespace) -> list[Numbers]:
    """Measure both."""
    async with rig() as bench, bench.operator():
        alone: Numbers = {**await measure(bench, "alone", options.runs), "attempts left": "0"}
        return [alone, await beside_noise(bench, options.runs, options.noisy_runs)]


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--noisy-runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    options = parser.parse_args()
    found: list[Any] = asyncio.run(run(options))
    print(f"{machine(1)}.\n\n{rows(found)}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
