"""The leader alone: how many tasks a second one process carries out when the API server is not in its way.

    .venv/bin/python -m bench.leader [--tasks 3000] [--rounds 5] [--json FILE]

The FlowRun controller, its reflectors and its writer work as in the operator, against a synthetic API server in a
process of its own (bench/synthetic.py), over loopback, with TLS and without. What is counted is the CPU time of this
process: tasks for each second of it are what one core can carry.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.page import machine, put, rows
from penstock.api import names
from penstock.engine.workloads.pod import PodSettings
from penstock.kube.client import ApiClient
from penstock.kube.connection import Connection
from penstock.kube.reflector import Reflector
from penstock.kube.resources import PODS
from penstock.kube.writer import Writer
from penstock.memory_limit import limit_expression_memory
from penstock_operator.__main__ import collect_garbage_less_often
from penstock_operator.flow_defaults.in_force import NamespaceDefaults
from penstock_operator.flows.store import FlowStore
from penstock_operator.metrics import Metrics
from penstock_operator.runs.cache.store import CacheStore
from penstock_operator.runs.controller import RunController
from penstock_operator.runs.live_run import RunEnd
from penstock_operator.runs.watches import new_runs
from penstock_operator.runtime.recorder import EventRecorder
from penstock_operator.workloads.pod import Pod
from tests.cluster.certificates import Authority

ROOT: Final = Path(__file__).parents[1]
NAMESPACE: Final = "bench"
IN_FLIGHT: Final = 32
EPOCH: Final = 1
PATIENCE_S: Final = 300.0
USER: Final = 65532

Spec = dict[str, Any]


class Shape(NamedTuple):
    """Some work.

    Attributes:
        name: for the table.
        specs: the inline specs of its runs.
        tasks: how many tasks they have in all.
    """

    name: str
    specs: list[Spec]
    tasks: int


def shapes(tasks: int) -> list[Shape]:
    """Return the shapes, each of so many tasks.

    Args:
        tasks: a multiple of 10.
    """
    chain = [{"name": f"t{n}", **({"dependsOn": [f"t{n - 1}"]} if n else {})} for n in range(10)]
    return [
        Shape("one fan-out", [{"tasks": [{"name": "each", "forEach": {"count": tasks}}]}], tasks),
        Shape("runs of 10 tasks, a chain each", [{"tasks": chain}] * (tasks // 10), tasks),
        Shape("runs of one task", [{"tasks": [{"name": "main"}]}] * tasks, tasks),
    ]


@asynccontextmanager
async def synthetic(folder: Path | None) -> AsyncIterator[Connection]:
    """Run the synthetic API server.

    Args:
        folder: where to put a certificate; None: no TLS.
    """
    arguments: list[str] = []
    context = None
    if folder is not None:
        authority = Authority.create(folder / "authority")
        pair = authority.sign("server", subject="/CN=synthetic", alternative_names=["IP:127.0.0.1"])
        arguments = ["--cert", str(pair.certificate), "--key", str(pair.key)]
        context = ssl.create_default_context(cafile=str(folder / "authority" / "ca.crt"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.synthetic", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        scheme = "http" if context is None else "https"
        yield Connection(f"{scheme}://127.0.0.1:{port}", ssl_context=context)
    finally:
        process.kill()
        await process.wait()


async def measure(shape: Shape, folder: Path | None) -> float:
    """Carry out a shape, and return the CPU time that it took for each task, in seconds."""
    async with synthetic(folder) as connection, ApiClient(connection, metrics=Metrics()) as client:
        ended: asyncio.Queue[RunEnd] = asyncio.Queue()
        writer = Writer(client, may_write=lambda: True, work_in_flight=IN_FLIGHT)
        recorder = EventRecorder(writer, instance="bench")
        controller = _new_controller(client, writer, recorder, ended.put_nowait)
        pods = Reflector(
            client,
            PODS,
            kind=Pod,
            namespace=NAMESPACE,
            label_selector=names.LABEL_RUN_UID,
            on_event=controller.on_pod,
            keep_objects=True,
        )
        beginning = new_runs(client, controller.events.on_new_run, namespace=NAMESPACE)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(watch.run()) for watch in (pods, beginning)]
            await pods.synced.wait()
            await beginning.synced.wait()
            controller.open()
            background.append(tasks.create_task(controller.work()))
            runs = json.dumps([_run(number, spec) for number, spec in enumerate(shape.specs)]).encode()
            gc.collect()
            began_at = time.process_time()
            await client.request("POST", "/start", body=runs)
            for _ in shape.specs:
                await ended.get()
            await client.request("GET", "/finalizers-removed", query={"pods": str(shape.tasks)}, timeout_s=PATIENCE_S)
            spent = time.process_time() - began_at
            for task in background:
                task.cancel()
        await controller.close()
        await recorder.flush()
        return spent / shape.tasks


def _new_controller(
    client: ApiClient, writer: Writer, recorder: EventRecorder, on_end: Callable[[RunEnd], None]
) -> RunController:
    def fail(error: BaseException) -> None:
        raise SystemExit(f"the FlowRun controller failed: {error!r}")

    controller = RunController(
        client,
        writer,
        cache=CacheStore(client, writer),
        flows=FlowStore(client, writer, NamespaceDefaults(client)),
        recorder=recorder,
        metrics=Metrics(),
        epoch=EPOCH,
        confirm_leading=_leads,
        settings=PodSettings(USER, is_tracked=True),
        has_policy=True,
        fail=fail,
    )
    controller.on_end.append(on_end)
    return controller


async def _leads() -> bool:
    return True


def _run(number: int, spec: Spec) -> dict[str, Any]:
    metadata = {"name": f"run-{number}", "namespace": NAMESPACE}
    spec = {"flowSpec": {"defaults": {"image": "busybox"}, **spec}}
    return {"apiVersion": names.API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": spec}


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=3000, help="of each shape: a multiple of 10")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/benchmarks.md")
    options = parser.parse_args()
    collect_garbage_less_often()
    limit_expression_memory()
    spent: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for one in shapes(options.tasks):
                for way, where in (("in the clear", None), ("TLS", Path(folder) / f"{one.name}-{number}")):
                    if where is not None:
                        where.mkdir()
                    spent.setdefault((one.name, way), []).append(asyncio.run(measure(one, where)))
    found: list[dict[str, float | str]] = []
    for (shape, way), times in spent.items():
        spent_ms = statistics.median(times) * 1000
        found.append({"shape": shape, "": way, "CPU ms a task": spent_ms, "tasks/s a core": 1000 / spent_ms})
    table = rows(found)
    print(table)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    if options.write_docs:
        put(ROOT / "docs" / "benchmarks.md", "leader", f"{machine(options.rounds)}.\n\n{table}")


if __name__ == "__main__":
    main()
