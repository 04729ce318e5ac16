"""Many Schedules that are due at the same second: how late their runs are created, and what that costs the operator.

    KUBECONFIG=... .venv/bin/python bench/schedules.py [--schedules 5000] [--json FILE]

Needs a cluster with our CRDs and no operator in the namespace that is made for this. One operator is started, the
Schedules are created, all for the same minute, and the runs wait for a Flow that does not exist, so nothing but
Schedules and the beginning of runs is measured. Lateness is from the tick until the API server has answered the create;
it is taken from the operator's histogram, between whose bounds it is interpolated. Absolute numbers depend on the
machine, on the API server most of all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from kubernetes import client, config
from prometheus_client.parser import text_string_to_metric_families

PORT = 18321
CREATORS = 8
LEAST_CREATES_PER_S = 60
PATIENCE_S = 600
POLL_S = 0.5
LATENESS = "penstock_schedule_lateness_seconds"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """What a process has used."""

    cpu_s: float
    resident_mib: float


def main() -> int:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=5000)
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    options = parser.parse_args()
    config.load_kube_config()  # type: ignore[no-untyped-call]  # the client's configuration has no types
    core, custom = client.CoreV1Api(), client.CustomObjectsApi()
    namespace = f"bench-{os.getpid()}"
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace)))
    try:
        numbers = measure(custom, namespace, options.schedules)
    finally:
        core.delete_namespace(namespace)
    for name, value in numbers.items():
        print(f"{name:32} {value:10.3f}" if isinstance(value, float) else f"{name:32} {value:10}")
    if options.json:
        options.json.write_text(json.dumps(numbers, indent=2))
    return 0


def measure(custom: Any, namespace: str, count: int) -> dict[str, float | int]:
    """Run the operator through one tick of so many Schedules."""
    command = [sys.executable, "-m", "penstock_operator", "--namespace", namespace, "--lease-namespace", namespace]
    command += ["--bind-address", "127.0.0.1", "--http-port", str(PORT)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as operator:
        try:
            tick = (datetime.now(UTC) + timedelta(seconds=90 + count / LEAST_CREATES_PER_S)).replace(
                second=0, microsecond=0
            )
            began_at = time.monotonic()
            create(custom, namespace, count, tick)
            created_in_s = time.monotonic() - began_at
            until(lambda: armed(custom, namespace) >= count, "every Schedule to be armed", every_s=5)
            if datetime.now(UTC) >= tick:
                raise SystemExit(
                    f"creating {count} Schedules took {created_in_s:.0f} s, longer than foreseen: try fewer"
                )
            idle = usage(operator.pid)
            time.sleep((tick - datetime.now(UTC)).total_seconds())
            before = usage(operator.pid)
            until(lambda: histogram()["+Inf"] >= count, "every run to be created")
            all_after_s = (datetime.now(UTC) - tick).total_seconds()
            after = usage(operator.pid)
            buckets = histogram()
        finally:
            operator.terminate()
    return {
        "schedules": count,
        "lateness p50, s": quantile(buckets, 0.5),
        "lateness p99, s": quantile(buckets, 0.99),
        "all created after, s": all_after_s,
        "operator CPU a run, ms": (after.cpu_s - before.cpu_s) / count * 1000,
        "operator resident, armed, MiB": idle.resident_mib,
        "operator resident, after, MiB": after.resident_mib,
    }


def create(custom: Any, namespace: str, count: int, tick: datetime) -> None:
    """Create Schedules that are all due at a tick, and at no other for a year."""
    cron = f"{tick.minute} {tick.hour} {tick.day} {tick.month} *"

    def create_one(number: int) -> None:
        body = {
            "apiVersion": "penstock.dev/v1alpha1",
            "kind": "Schedule",
            "metadata": {"name": f"s{number}"},
            "spec": {"cron": [cron], "runTemplate": {"spec": {"flow": {"name": "absent"}}}},
        }
        custom.create_namespaced_custom_object("penstock.dev", "v1alpha1", namespace, "schedules", body)

    with ThreadPoolExecutor(CREATORS) as creators:
        list(creators.map(create_one, range(count)))


def armed(custom: Any, namespace: str) -> int:
    """Count the Schedules that the operator has looked at."""
    found = custom.list_namespaced_custom_object("penstock.dev", "v1alpha1", namespace, "schedules")["items"]
    return sum("nextTickTimes" in schedule.get("status", {}) for schedule in found)


def histogram() -> dict[str, float]:
    """Read how many runs were at most how late."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=30) as reply:
        text = reply.read().decode()
    return {
        sample.labels["le"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"{LATENESS}_bucket"
    }


def quantile(buckets: dict[str, float], share: float) -> float:
    """Interpolate a quantile within its bucket, as Prometheus does."""
    wanted, lower, below = share * buckets["+Inf"], 0.0, 0.0
    for bound, count in sorted((float(bound), count) for bound, count in buckets.items()):
        if count >= wanted:
            return lower + (bound - lower) * (wanted - below) / max(count - below, 1)
        lower, below = bound, count
    return lower


def usage(pid: int) -> Usage:
    """Read what a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage((int(fields[11]) + int(fields[12])) / TICKS_PER_S, pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def until(condition: Any, what: str, every_s: float = POLL_S) -> None:
    """Wait for something to be true."""
    ends_at = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > ends_at:
            raise SystemExit(f"waited {PATIENCE_S} s for {what}")
        time.sleep(every_s)


if __name__ == "__main__":
    sys.exit(main())
