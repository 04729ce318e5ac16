"""Many Schedules that are due at the same second: how late their runs are created, and what that costs the operator.

    KUBECONFIG=... .venv/bin/python -m bench.schedules [--schedules 5000] [--in-flight 32] [--json FILE]

Needs a cluster with our CRDs, an administrator's kubeconfig, and no operator at work. First a bare loop posts as many
runs as there will be Schedules, without an operator: runs can hardly be created faster. Then one operator is started
in another namespace, the Schedules are created, all for the same minute, and the runs wait for a Flow that does not
exist, so nothing but Schedules and the beginning of runs is measured. How late a run is, is taken in both cases from
when a watch has shown it. Absolute numbers depend on the machine, on the API server most of all: compare the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from bench.account import Account, cpu_s, peak_mib
from penstock.api import names
from penstock.kube.client import METADATA, METADATA_LIST, ApiClient
from penstock.kube.connection import Connection
from penstock.kube.metadata import PartialObject
from penstock.kube.reflector import EventType, Reflector
from penstock.kube.resources import FLOWRUNS, SCHEDULES, Resource
from penstock_operator.metrics import Metrics

PORT = 18321
CREATORS = 8
"""Schedules are created so many at a time, so that the operator can reconcile them meanwhile."""
LEAST_CREATES_PER_S = 40
"""Of Schedules, with all that the operator stores about them: when the tick is follows from it."""
PATIENCE_S = 1200.0
POLL_S = 0.5
IDLE_S = 60.0
SPEC = {"flow": {"name": "absent"}}

Numbers = dict[str, float | int]


class _Schedule(msgspec.Struct):
    """A Schedule, as far as it matters here."""

    metadata: Any
    status: dict[str, Any] = {}


class _Schedules(msgspec.Struct):
    items: list[_Schedule]


def main() -> int:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=5000)
    parser.add_argument("--in-flight", type=int, default=32, help="of the bare loop: POSTs at the same time")
    parser.add_argument("--quiet", type=float, default=IDLE_S, help="for how many seconds idling is watched")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    options = parser.parse_args()
    numbers = asyncio.run(measure(options.schedules, options.in_flight, options.quiet))
    for name, value in numbers.items():
        print(f"{name:48} {value:10.3f}" if isinstance(value, float) else f"{name:48} {value:10}")
    if options.json:
        options.json.write_text(json.dumps(numbers, indent=2))
    return 0


async def measure(count: int, in_flight: int, idle_s: float) -> Numbers:
    """Do both, one after the other on the same cluster."""
    async with ApiClient(Connection.load(os.environ), metrics=Metrics()) as client:
        async with namespace(client, "loop") as place, sights(client, place) as seen:
            began_at = time.time()
            await post(client, FLOWRUNS, place, (run(number) for number in range(count)), in_flight)
            await until(lambda: len(seen) >= count, "the loop's runs to be seen")
            bare = [at - began_at for at in seen.values()]
        async with namespace(client, "due") as place, operator(place) as pid:
            late, spent = await tick(client, place, count, pid)
            spent |= {"idle CPU after, %": await idle_percent(pid, idle_s), "operator peak, MiB": peak_mib(pid)}
    numbers: Numbers = {"schedules": count, "in flight in the bare loop": in_flight}
    for share in (50, 99):
        ours, floor = quantile(late, share), quantile(bare, share)
        numbers |= {
            f"lateness p{share}, s": ours,
            f"bare loop p{share}, s": floor,
            f"lateness p{share}, times the bare loop": ours / floor,
        }
    return numbers | spent


async def tick(client: ApiClient, place: str, count: int, pid: int) -> tuple[list[float], Numbers]:
    """Lead the operator through one tick of so many Schedules; return how late each run was, and what it took."""
    due = datetime.now(UTC) + timedelta(seconds=120 + count / LEAST_CREATES_PER_S)
    due = due.replace(second=0, microsecond=0)
    await post(client, SCHEDULES, place, (schedule(number, due) for number in range(count)), CREATORS)
    await until_all(client, place, "nextTickTimes", count)
    idle = await idle_percent(pid, min(IDLE_S, max(0.1, due.timestamp() - time.time() - 10)))
    if time.time() >= due.timestamp():
        raise SystemExit(f"{count} Schedules took longer to create and to arm than foreseen: try fewer")
    async with sights(client, place) as seen:
        before, cpu_before = await requests(client), cpu_s(pid)
        await until(lambda: len(seen) >= count, "every run to be created")
        cpu_created, when_created = cpu_s(pid), (await requests(client)).since(before)
    await until_all(client, place, "lastTickTime", count)
    stored_after_s = time.time() - due.timestamp()
    await until_begun(client, place)
    spent = (await requests(client)).since(before)
    numbers: Numbers = {
        "operator CPU a run until all created, ms": (cpu_created - cpu_before) / count * 1000,
        "operator CPU a run until all is done, ms": (cpu_s(pid) - cpu_before) / count * 1000,
        "all stored after, s": stored_after_s,
        "idle CPU before, %": idle,
    }
    wanted = ("flowruns", "flowruns/status", "schedules", "schedules/status", "events")
    for (verb, resource), sent in sorted(spent.requests.items()):
        if resource in wanted and verb not in ("WATCH", "LIST"):
            numbers[f"{verb} {resource} a run"] = sent / count
            numbers[f"{verb} {resource} a run, until all created"] = when_created.requests[verb, resource] / count
    return [at - due.timestamp() for at in seen.values()], numbers


# The cluster


@asynccontextmanager
async def namespace(client: ApiClient, name: str) -> AsyncIterator[str]:
    """Make a namespace for the length of the block."""
    place = f"bench-{name}-{os.getpid()}"
    await client.request("POST", "/api/v1/namespaces", body=msgspec.json.encode({"metadata": {"name": place}}))
    try:
        yield place
    finally:
        await client.request("DELETE", f"/api/v1/namespaces/{place}")


@asynccontextmanager
async def sights(client: ApiClient, place: str) -> AsyncIterator[dict[str, float]]:
    """Watch the runs of a namespace; gives the time at which each was first seen, by name."""
    seen: dict[str, float] = {}

    def note(event: EventType, item: PartialObject) -> None:
        if event is not EventType.DELETED:
            seen.setdefault(item.metadata.name, time.time())

    watch = Reflector(client, FLOWRUNS, kind=PartialObject, namespace=place, metadata_only=True, on_event=note)
    running = asyncio.create_task(watch.run())
    await watch.synced.wait()
    try:
        yield seen
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def operator(place: str) -> AsyncIterator[int]:
    """Run an operator for a namespace; gives its process id."""
    command = [sys.executable, "-m", "penstock_operator", "--namespace", place, "--lease-namespace", place]
    command += ["--bind-address", "127.0.0.1", "--http-port", str(PORT)]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


async def post(
    client: ApiClient, resource: Resource, place: str, bodies: Iterable[Mapping[str, Any]], in_flight: int
) -> None:
    """Create objects, so many at a time."""
    waiting = iter(bodies)

    async def work() -> None:
        for body in waiting:
            await client.request("POST", resource.path(place), body=msgspec.json.encode(body), accept=METADATA)

    await asyncio.gather(*(work() for _ in range(in_flight)))


async def until_all(client: ApiClient, place: str, field: str, count: int) -> None:
    """Wait until the status of every Schedule has a field."""
    ends_at = time.monotonic() + PATIENCE_S
    while True:
        reply = await client.request("GET", SCHEDULES.path(place), timeout_s=PATIENCE_S)
        items = msgspec.json.decode(reply.body, type=_Schedules).items
        if sum(field in item.status for item in items) >= count:
            return
        if time.monotonic() > ends_at:
            raise SystemExit(f"waited {PATIENCE_S:g} s for {field} of every Schedule")
        # A list of thousands is work for the API server, too.
        await asyncio.sleep(10 * POLL_S)


async def until_begun(client: ApiClient, place: str) -> None:
    """Wait until every run has a state."""
    ends_at = time.monotonic() + PATIENCE_S
    while True:
        query = {"fieldSelector": "status.state=", "limit": "1"}
        reply = await client.request("GET", FLOWRUNS.path(place), query=query, accept=METADATA_LIST)
        if not msgspec.json.decode(reply.body)["items"]:
            return
        if time.monotonic() > ends_at:
            raise SystemExit(f"waited {PATIENCE_S:g} s for every run to have a state")
        await asyncio.sleep(10 * POLL_S)


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something to be true."""
    ends_at = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > ends_at:
            raise SystemExit(f"waited {PATIENCE_S:g} s for {what}")
        await asyncio.sleep(POLL_S)


async def requests(client: ApiClient) -> Account:
    """Read how many requests of each kind the API server has served."""
    text = (await client.request("GET", "/metrics")).body.decode()
    return Account.take({}, "\n".join(line for line in text.splitlines() if "apiserver_request_total" in line))


async def idle_percent(pid: int, seconds: float) -> float:
    """Return which share of a core a process uses while nothing happens."""
    before = cpu_s(pid)
    await asyncio.sleep(seconds)
    return (cpu_s(pid) - before) / seconds * 100


# The objects


def run(number: int) -> dict[str, Any]:
    """Return a run as a Schedule makes it, without its owner."""
    now = datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    metadata = {
        "name": f"s{number}-29000000",
        "labels": {names.LABEL_SCHEDULE: f"s{number}"},
        "annotations": {names.ANNOTATION_TICK: now},
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": "FlowRun",
        "metadata": metadata,
        "spec": {**SPEC, "scheduledTime": now},
    }


def schedule(number: int, due: datetime) -> dict[str, Any]:
    """Return a Schedule that is due at a time, and not again for an hour."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Schedule",
        "metadata": {"name": f"s{number}"},
        "spec": {"cron": [f"{due.minute} * * * *"], "runTemplate": {"spec": SPEC}},
    }


def quantile(values: list[float], percent: int) -> float:
    """Return the value below which so many percent of them are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


if __name__ == "__main__":
    sys.exit(main())
