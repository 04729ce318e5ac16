"""How much one namespace with thousands of attempts or Pods delays the runs of another, on a cluster with fake nodes.

    .venv/bin/python -m bench.fairness [--rounds 3] [--runs 10] [--json FILE] [--write-docs]

A namespace creates runs of one task, one after the other, whose Pods start at once or, as on a real node, after a
second. First there is nothing beside them. Then somebody else creates Pods in another namespace, as fast as possible
and without Penstock: what of the delay is the API server's. Then another namespace has fan-outs of 2,000 items in
progress, most of whose attempts wait to be created. Then yet another has more finished Pods than the operator keeps,
and adds to them.

No scheduler takes the Pods of the bare loop and of the attempts. The one of the cluster and its fake nodes, which would
be busy with them for minutes, serve all Pods in the order in which they come. The time of a run goes from its POST to
the moment when a watch has shown it finished. At the end its Pods are counted: as long as they exist, so do their logs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Final

from bench.page import machine, put, rows
from bench.rig import FLOWRUNS, POLL_S, ROOT, Ask, Bench, rig
from bench.shapes import API_VERSION, IMAGE, Body, bare_pod
from penstock_operator.retention.kept_pods import KEPT, KEPT_PER_RUN

PAGE: Final = ROOT / "docs" / "benchmarks.md"
ITEMS: Final = 2_000
"""Of a noisy run: the most that a fan-out has in progress."""
QUEUED_RUNS: Final = 9
UNDER_WAY: Final = 200
"""Pods that the noisy namespace has before the other one begins."""
FINISHED_RUNS: Final = KEPT // KEPT_PER_RUN + 5
"""Noisy runs with as many Pods as are kept of each: together more than are kept in all."""
MORE_RUNS: Final = 20
"""Begun when these have finished."""
LIMIT_S: Final = 300.0
PAUSE_S: Final = 0.5
WITHOUT_SCHEDULER: Final[Body] = {"spec": {"schedulerName": "nobody"}}
START_S: Final = (0, 1)
"""How long the Pods of the measured runs are Pending. A kubelet takes a second or more to start one."""

Numbers = dict[str, float | str]
Noise = Callable[[Bench], AbstractAsyncContextManager[object]]


def _run(name: str, template: Body, *, is_tracked: bool = True, **task: object) -> Body:
    flow = {"defaults": {"image": IMAGE, "podTemplate": template}, "trackPods": is_tracked}
    spec = {"flowSpec": {**flow, "tasks": [{"name": "main", **task}]}}
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": {"name": name}, "spec": spec}


@asynccontextmanager
async def _namespace(bench: Bench, prefix: str) -> AsyncIterator[str]:
    name = f"bench-{prefix}-{uuid.uuid4().hex[:8]}"
    await bench.post("/api/v1/namespaces", {"metadata": {"name": name}})
    try:
        yield name
    finally:
        await bench.clear(name)


async def _until(ask: Ask, kind: str, least: int) -> None:
    ends_at = time.monotonic() + LIMIT_S
    while (seen := (await ask("count"))[kind]) < least:
        if time.monotonic() > ends_at:
            raise SystemExit(f"{kind}: {seen} of {least} after {LIMIT_S:g} s")
        await asyncio.sleep(POLL_S / 4)


@asynccontextmanager
async def crowded(bench: Bench) -> AsyncIterator[None]:
    """Have somebody else create as many Pods in another namespace."""
    async with _namespace(bench, "crowded") as namespace, bench.watching(namespace) as ask:
        bodies = [bare_pod(number) for number in range(QUEUED_RUNS * ITEMS)]
        for body in bodies:
            body["spec"] |= WITHOUT_SCHEDULER["spec"]
        creating = asyncio.create_task(bench.post_all(f"/api/v1/namespaces/{namespace}/pods", bodies))
        try:
            await _until(ask, "seen", UNDER_WAY)
            yield
            left = len(bodies) - (await ask("count"))["seen"]
            print(f"{left} Pods were still to be created at the end", flush=True)
        finally:
            creating.cancel()
            await asyncio.gather(creating, return_exceptions=True)


@asynccontextmanager
async def queued(bench: Bench) -> AsyncIterator[None]:
    """Have another namespace with attempts that wait to be created."""
    async with _namespace(bench, "queued") as namespace, bench.watching(namespace) as ask:
        for number in range(QUEUED_RUNS):
            # Without our finalizer the namespace is emptied within seconds.
            body = _run(f"noisy-{number}", WITHOUT_SCHEDULER, is_tracked=False, forEach={"count": ITEMS})
            await bench.post(FLOWRUNS.format(namespace=namespace), body)
        await _until(ask, "seen", UNDER_WAY)
        yield
        left = QUEUED_RUNS * ITEMS - (await ask("count"))["seen"]
        print(f"{left} attempts were still to be created at the end", flush=True)


@asynccontextmanager
async def finished(bench: Bench) -> AsyncIterator[None]:
    """Have another namespace with more finished Pods than are kept, and more of them coming."""
    async with _namespace(bench, "finished") as namespace, bench.watching(namespace) as ask:
        path = FLOWRUNS.format(namespace=namespace)
        numbers = range(FINISHED_RUNS + MORE_RUNS)
        bodies = [_run(f"noisy-{number}", {}, forEach={"count": KEPT_PER_RUN}) for number in numbers]
        await bench.post_all(path, bodies[:FINISHED_RUNS])
        await _until(ask, "runs", FINISHED_RUNS)
        await bench.post_all(path, bodies[FINISHED_RUNS:])
        yield
        await _until(ask, "runs", len(bodies))


async def measure(bench: Bench, noise: Noise, runs: int) -> tuple[dict[int, list[float]], int]:
    """Create runs one after the other beside noise.

    Returns:
        How long they took, by the start of their Pods, and how many of all their Pods are left.
    """
    posted: dict[int, dict[str, float]] = {start_s: {} for start_s in START_S}
    async with _namespace(bench, "quiet") as namespace, bench.watching(namespace) as ask:
        async with noise(bench):
            for number in range(runs * len(START_S)):
                name, start_s = f"run-{number}", START_S[number % len(START_S)]
                posted[start_s][name] = time.time()
                template = {"metadata": {"annotations": {"fake.penstock.dev/start-after": f"{start_s}s"}}}
                await bench.post(FLOWRUNS.format(namespace=namespace), _run(name, template if start_s else {}))
                await _until(ask, "runs", number + 1)
                await asyncio.sleep(PAUSE_S)
        ends = (await ask("report"))["runs"]["finished"]
        left = await bench.count(f"/api/v1/namespaces/{namespace}/pods")
    took = {start_s: sorted(ends[name] - at for name, at in times.items()) for start_s, times in posted.items()}
    return took, left


def _alone(_: Bench) -> AbstractAsyncContextManager[object]:
    return nullcontext()


BESIDE: Final[dict[str, Noise]] = {
    "nothing": _alone,
    f"{QUEUED_RUNS * ITEMS:,} Pods of a bare loop": crowded,
    f"{QUEUED_RUNS * ITEMS:,} attempts": queued,
    f"{FINISHED_RUNS * KEPT_PER_RUN:,} finished Pods": finished,
}


async def run(rounds: int, runs: int, operator: list[str]) -> list[Numbers]:
    """Measure everything, round after round, with further options of the operator."""
    found: list[Numbers] = []
    async with rig() as bench, bench.operator(*operator):
        for number in range(1, rounds + 1):
            alone: dict[int, float] = {}
            for what, noise in BESIDE.items():
                took, left = await measure(bench, noise, runs)
                for start_s, times in took.items():
                    median_s = statistics.median(times)
                    alone.setdefault(start_s, median_s)
                    print(what, f"start {start_s} s", [round(one, 3) for one in times], flush=True)
                    found.append(
                        {
                            "beside": what,
                            "Pods start after": f"{start_s} s",
                            "round": str(number),
                            "median s": median_s,
                            "slowest s": times[-1],
                            "times alone": median_s / alone[start_s],
                            "Pods kept": f"{left} of {runs * len(START_S)}",
                        }
                    )
                    print(json.dumps(found[-1]), flush=True)
    return found


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--operator", action="append", default=[], metavar="OPTION", help="of the operator")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    parser.add_argument("--write-docs", action="store_true", help="put the numbers into the documentation")
    options = parser.parse_args()
    found = asyncio.run(run(options.rounds, options.runs, options.operator))
    text = f"{rows(found)}\n\n{machine(options.rounds)}."
    print(text)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    if options.write_docs:
        put(PAGE, "fairness", text)


if __name__ == "__main__":
    main()
