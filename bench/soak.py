"""Whether the operator's memory grows at a steady load, on a cluster with fake nodes.

    .venv/bin/python -m bench.soak [--minutes 30] [--runs-per-minute 60] [--json FILE]

Runs of one Flow begin evenly, and are deleted a minute after their end, so after a few minutes as many go as come. The
memory that the operator has resident is noted every ten seconds; what counts is the slope of the line that fits best
through everything after the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
import uuid
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.account import cpu_s, resident_mib
from bench.page import machine, rows
from bench.rig import FLOWRUNS, Bench, rig
from bench.shapes import API_VERSION, IMAGE, Body

SAMPLE_S: Final = 10.0
SHOWN_EVERY: Final = 6
"""Samples."""
WARM_UP_S: Final = 300.0
PATIENT_LEASE: Final = ("--lease-duration", "5m", "--lease-renew-deadline", "4m")
"""A machine that does other things for a while does not end the soak."""
FLOW: Final = "soak"
CACHED: Final = 500
"""So many entries of the cache there are in the end."""


class Sample(NamedTuple):
    """The operator at one moment.

    Attributes:
        at_s: seconds since the beginning.
        resident_mib: its memory.
        runs: that were begun so far.
        cpu_s: that it used so far.
    """

    at_s: float
    resident_mib: float
    runs: int
    cpu_s: float


def flow() -> Body:
    """Return a Flow that uses most of what keeps state: outputs, a fan-out, a retry, the cache."""
    fails_once = {"metadata": {"annotations": {"fake.penstock.dev/exit-code": "1,0"}}}
    tasks: list[Body] = [
        {"name": "load", "podTemplate": {"metadata": {"annotations": {"fake.penstock.dev/outputs": '{"n": 2}'}}}},
        {"name": "each", "forEach": {"count": "$(tasks.load.outputs.n)"}},
        {
            "name": "flaky",
            "dependsOn": ["load"],
            "retry": {"limit": 1, "delay": "1s"},
            "podTemplate": fails_once,
        },
        {
            "name": "cached",
            "dependsOn": ["each", "flaky"],
            "cache": {"key": f"$(params.number % {CACHED})", "ttl": "10m"},
        },
    ]
    spec = {
        "params": [{"name": "number", "type": "integer"}],
        "defaults": {"image": IMAGE},
        "tasks": tasks,
        "podRetention": {"completed": "30s", "failed": "30s"},
        "retention": {"completed": "1m", "failed": "1m"},
    }
    return {"apiVersion": API_VERSION, "kind": "Flow", "metadata": {"name": FLOW}, "spec": spec}


def run_of_flow(number: int) -> Body:
    """Return a run that retention deletes: one whose name nobody chose."""
    spec = {"flow": {"name": FLOW}, "params": {"number": number}}
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": {"generateName": f"{FLOW}-"}, "spec": spec}


def slope_mib_per_hour(samples: list[Sample], warm_up_s: float) -> float:
    """Return the slope of the line with the least squares, without the warm-up."""
    counted = [sample for sample in samples if sample.at_s >= warm_up_s]
    fit = statistics.linear_regression([s.at_s / 3600 for s in counted], [s.resident_mib for s in counted])
    return fit.slope


async def soak(bench: Bench, minutes: float, per_minute: float, namespace: str) -> list[Sample]:
    """Begin runs evenly, and return the samples."""
    samples: list[Sample] = []
    pid = bench.pids["operator"]
    began_at = time.monotonic()
    number = 0
    while (now_s := time.monotonic() - began_at) < minutes * 60:
        if not samples or now_s - samples[-1].at_s >= SAMPLE_S:
            samples.append(Sample(now_s, resident_mib(pid), number, cpu_s(pid)))
            if len(samples) % SHOWN_EVERY == 0:
                print(samples[-1], flush=True)
        if number * 60 / per_minute <= now_s:
            await bench.post(FLOWRUNS.format(namespace=namespace), run_of_flow(number))
            number += 1
        else:
            await asyncio.sleep(min(1.0, number * 60 / per_minute - now_s))
    return samples


async def measure(options: argparse.Namespace) -> tuple[list[Sample], Body]:
    """Start everything, soak, and return the samples and what is left."""
    namespace = f"soak-{uuid.uuid4().hex[:8]}"
    async with rig() as bench, bench.operator(*PATIENT_LEASE):
        await bench.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
        await bench.post(f"/apis/penstock.dev/v1alpha1/namespaces/{namespace}/flows", flow())
        samples = await soak(bench, options.minutes, options.runs_per_minute, namespace)
        paths = {
            "runs left": FLOWRUNS.format(namespace=namespace),
            "Pods left": f"/api/v1/namespaces/{namespace}/pods",
            "ConfigMaps left": f"/api/v1/namespaces/{namespace}/configmaps",
        }
        left = {what: await bench.count(path) for what, path in paths.items()}
    return samples, left


def main() -> None:
    """Soak, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--runs-per-minute", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=WARM_UP_S, metavar="SECONDS")
    parser.add_argument("--json", type=Path, help="write samples and numbers to this file too")
    options = parser.parse_args()
    samples, left = asyncio.run(measure(options))
    warm = next(sample for sample in samples if sample.at_s >= options.warm_up)
    found: dict[str, Any] = {
        "minutes": options.minutes,
        "runs": samples[-1].runs,
        "MiB after warm-up": warm.resident_mib,
        "MiB at the end": samples[-1].resident_mib,
        "MiB per hour": slope_mib_per_hour(samples, options.warm_up),
        "CPU ms a run": samples[-1].cpu_s / samples[-1].runs * 1000,
        **left,
    }
    print(f"{machine(1)}.\n\n{rows([found])}")
    if options.json:
        options.json.write_text(json.dumps({**found, "samples": [sample._asdict() for sample in samples]}, indent=1))


if __name__ == "__main__":
    main()
