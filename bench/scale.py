"""What large flows and a long history cost, on a cluster with fake nodes.

    .venv/bin/python -m bench.scale [--only large history flows] [--json FILE]

`large`: graphs of thousands of tasks and a fan-out of ten thousand items: that they complete, the operator's CPU time
for each task and its memory, and the largest that the run's object ever was. `history`: with thousands of finished runs
and hundreds of Flows and Schedules, what an operator with nothing to do takes, how long a restart lasts, and how soon a
new run has its first Pod, beside the same in an empty cluster. `flows`: what a first start takes that finds large Flows
of which none has a revision.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.account import cpu_s, peak_mib, resident_mib
from bench.page import machine, put, rows
from bench.rig import FLOWRUNS, IN_FLIGHT, ROOT, SETTLE_S, Ask, Bench, rig
from bench.shapes import API_VERSION, IMAGE, LARGE, Body
from penstock_operator.retention.kept_pods import KEPT_PER_RUN

RUNS: Final = 10_000
FLOWS: Final = 200
NEW_RUNS: Final = 20
IDLE_S: Final = 60.0
SAMPLE_S: Final = 0.5
POLL_S: Final = 0.05
NAMESPACE: Final = "bench-history"
LARGE_FLOWS: Final = 30
LARGE_TASKS: Final = 4_000
CRON: Final = "0 0 29 2 *"
"""Due long after the measurement."""

Numbers = dict[str, float | str]


async def large(bench: Bench) -> list[Numbers]:
    """Carry out each large shape once."""
    found: list[Numbers] = []
    for number, shape in enumerate(LARGE):
        async with bench.operator():
            namespace = f"bench-large-{number}"
            path = FLOWRUNS.format(namespace=namespace) + ("/run" if shape.flow is None else "/run-0")
            largest = asyncio.create_task(_largest(bench, path))
            result = await bench.measure(shape, "Penstock", namespace=namespace, kept=KEPT_PER_RUN)
            largest.cancel()
            found.append(
                {
                    "what": shape.name,
                    "makespan s": result.makespan_s,
                    "operator ms a task": result.cpu_ms_per_pod["operator"],
                    "operator peak MiB": result.peak_mib["operator"],
                    "largest run KiB": (await _result_of(largest)) / 1024,
                }
            )
            print(found[-1], flush=True)
    return found


async def _largest(bench: Bench, path: str) -> int:
    largest = 0
    try:
        while True:
            largest = max(largest, await bench.size(path))
            await asyncio.sleep(SAMPLE_S)
    except asyncio.CancelledError:
        return largest


async def _result_of(task: asyncio.Task[int]) -> int:
    return await task


async def history(bench: Bench) -> list[Numbers]:
    """Measure with nothing kept, then with much."""
    await bench.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    await bench.post(f"/apis/penstock.dev/v1alpha1/namespaces/{NAMESPACE}/flows", _flow("flow-0"))
    empty = await _at_rest(bench, "nothing kept", 0)
    await _keep(bench)
    full = await _at_rest(bench, f"{RUNS:,} runs, {FLOWS} Flows, {FLOWS} Schedules kept", 1)
    return [empty, full]


async def _keep(bench: Bench) -> None:
    """Leave behind what a busy year would."""
    base = f"/apis/penstock.dev/v1alpha1/namespaces/{NAMESPACE}"
    await bench.post_all(f"{base}/flows", [_flow(f"flow-{n}") for n in range(1, FLOWS)])
    await bench.post_all(f"{base}/schedules", [_schedule(n) for n in range(FLOWS)])
    await bench.post_all(f"{base}/flowruns", [_run(f"old-{n}", f"flow-{n % FLOWS}") for n in range(RUNS)])
    status = _finished()
    await _each(range(RUNS), lambda n: bench.patch_status(f"{base}/flowruns/old-{n}", status))


async def _each(numbers: Iterable[int], work: Callable[[int], Awaitable[None]]) -> None:
    waiting = iter(numbers)

    async def some() -> None:
        for number in waiting:
            await work(number)

    await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))


async def flows(bench: Bench) -> list[Numbers]:
    """Start an operator beside large Flows that it has never seen."""
    namespace = "bench-large-flows"
    await bench.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    # One at a time: the API server takes seconds to check each.
    for number in range(LARGE_FLOWS):
        tasks = [f"task-{number}-{task}" for task in range(LARGE_TASKS)]
        await bench.post(f"/apis/penstock.dev/v1alpha1/namespaces/{namespace}/flows", _flow(f"flow-{number}", tasks))
    config_maps = f"/api/v1/namespaces/{namespace}/configmaps"
    revised = await bench.count(config_maps) + LARGE_FLOWS
    began_at = time.monotonic()
    async with bench.operator():
        pid = bench.pids["operator"]
        while await bench.count(config_maps) < revised:  # noqa: ASYNC110 - the API server knows
            await asyncio.sleep(SAMPLE_S)
        found: Numbers = {
            "what": f"{LARGE_FLOWS} Flows of {LARGE_TASKS:,} tasks",
            "all revised after s": time.monotonic() - began_at,
            "resident MiB": resident_mib(pid),
            "peak MiB": peak_mib(pid),
        }
    print(found, flush=True)
    return [found]


async def _at_rest(bench: Bench, what: str, number: int) -> Numbers:
    began_at = time.monotonic()
    async with bench.operator():
        ready_s = time.monotonic() - began_at
        firsts = await _first_pods_s(bench, f"new-{number}")
        await asyncio.sleep(IDLE_S / 6)
        pid, before, since = bench.pids["operator"], cpu_s(bench.pids["operator"]), time.monotonic()
        await asyncio.sleep(IDLE_S)
        found: Numbers = {
            "what": what,
            "ready s": ready_s,
            "first Pod of a new run ms": statistics.median(firsts) * 1000,
            "idle CPU %": (cpu_s(pid) - before) / (time.monotonic() - since) * 100,
            "resident MiB": resident_mib(pid),
            "peak MiB": peak_mib(pid),
        }
    print(found, flush=True)
    return found


async def _first_pods_s(bench: Bench, prefix: str) -> list[float]:
    """Start some runs, one after the other, and return how long it took each until it had a Pod, in seconds."""
    begun: dict[str, float] = {}
    async with bench.watching(NAMESPACE) as ask:
        kept = await _until_listed(ask)
        for number in range(NEW_RUNS):
            name = f"{prefix}-{number}"
            begun[name] = time.time()
            await bench.post(FLOWRUNS.format(namespace=NAMESPACE), _run(name, "flow-0"))
            while (await ask("count"))["runs"] <= kept + number:  # noqa: ASYNC110 - another process knows
                await asyncio.sleep(POLL_S)
        seen = (await ask("report"))["pods"]["seen"]
    return [
        min(moment for pod, moment in seen.items() if pod.startswith(f"{name}-")) - began_at
        for name, began_at in begun.items()
    ]


async def _until_listed(ask: Ask) -> int:
    """Wait until a watch has shown what there is, and return how many runs had finished before."""
    before = -1
    while (now := int((await ask("count"))["runs"])) != before:
        before = now
        await asyncio.sleep(SETTLE_S)
    return now


def _flow(name: str, tasks: Sequence[str] = ("a", "b")) -> Body:
    chain: list[Body] = [
        {"name": task, "dependsOn": list(tasks[position - 1 : position])} for position, task in enumerate(tasks)
    ]
    spec = {"defaults": {"image": IMAGE}, "tasks": chain}
    return {"apiVersion": API_VERSION, "kind": "Flow", "metadata": {"name": name}, "spec": spec}


def _schedule(number: int) -> Body:
    spec = {"cron": [CRON], "runTemplate": {"spec": {"flow": {"name": f"flow-{number}"}}}}
    return {"apiVersion": API_VERSION, "kind": "Schedule", "metadata": {"name": f"schedule-{number}"}, "spec": spec}


def _run(name: str, flow: str) -> Body:
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": {"name": name}, "spec": {"flow": {"name": flow}}}


def _finished() -> dict[str, Any]:
    now = datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "state": "Completed",
        "progress": "2/2",
        "counts": {"Completed": 2},
        "startTime": now,
        "completionTime": now,
        "tasks": [
            {"name": name, "state": "Completed", "attempt": 1, "startTime": now, "completionTime": now, "exitCode": 0}
            for name in ("a", "b")
        ],
        "conditions": [
            {"type": kind, "status": "True", "reason": "Completed", "message": "", "lastTransitionTime": now}
            for kind in ("Succeeded", "Finished")
        ],
    }


async def run(only: list[str]) -> dict[str, list[Numbers]]:
    """Measure, and return the numbers of each part."""
    found: dict[str, list[Numbers]] = {}
    async with rig() as bench:
        for part in (large, history, flows):
            if not only or part.__name__ in only:
                found[part.__name__] = await part(bench)
    return found


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=("large", "history", "flows"), default=[])
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/benchmarks.md")
    options = parser.parse_args()
    found = asyncio.run(run(options.only))
    table = "\n\n".join(rows(part) for part in found.values())
    print(table)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    if options.write_docs:
        put(ROOT / "docs" / "benchmarks.md", "scale", f"{machine(1)}.\n\n{table}")


if __name__ == "__main__":
    main()
