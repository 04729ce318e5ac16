"""Penstock beside an Indexed Job and a bare loop of POSTs, in one run, on one cluster with fake nodes.

    make bench                                     five rounds of every shape
    .venv/bin/python -m bench --rounds 1 --only chain

Every round runs every way of doing each shape, one after the other, so that whatever the machine does meanwhile happens
to all of them. README.md in this folder says how to read what comes out.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from bench.account import Account, peak_mib
from bench.report import Result, write
from bench.shapes import SHAPES, Shape, bare_pod, indexed_job
from penstock_operator.connection import Connection
from tests import cluster
from tests.cluster.certificates import Authority

ROOT: Final = Path(__file__).parents[1]
IN_FLIGHT: Final = 32
POLL_S: Final = 0.2
LIMIT_S: Final = 120.0
HTTP_PORT: Final = 18080
WEBHOOK_PORT: Final = 18443
SETTLE_S: Final = 1.0

Body = dict[str, Any]


class Bench:
    """A cluster with the operator at work.

    Args:
        session: to its API server.
        server: the API server's URL.
        pids: processes of the cluster, by name.
        environment: for child processes.
    """

    def __init__(
        self, session: aiohttp.ClientSession, server: str, pids: dict[str, int], environment: dict[str, str]
    ) -> None:
        self._session = session
        self._server = server
        self._pids = pids
        self._environment = environment

    async def measure(self, shape: Shape, way: str) -> Result:
        """Do a shape's work one way, in a namespace of its own that is gone afterwards."""
        namespace = f"bench-{uuid.uuid4().hex[:8]}"
        await self.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
        watcher = await asyncio.create_subprocess_exec(
            sys.executable, str(ROOT / "bench" / "watcher.py"), namespace,
            env=self._environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**26,
        )  # fmt: skip
        assert watcher.stdin is not None
        assert watcher.stdout is not None
        try:
            assert (await watcher.stdout.readline()).strip() == b"ready"
            flows = f"/apis/penstock.dev/v1alpha1/namespaces/{namespace}/flows"
            if way.startswith("Penstock") and shape.flow is not None:
                await self.post(flows, shape.flow)
            await asyncio.sleep(SETTLE_S)
            before, started_at = await self._account(), time.time()
            await self._start(shape, way, namespace)
            seen = await self._until_over(watcher, shape, way)
            after = await self._account()
            await asyncio.sleep(SETTLE_S)
            late = await self._account()
        finally:
            watcher.stdin.close()
            await watcher.wait()
            await self._clear(namespace)
        ends = seen["runs" if way.startswith("Penstock") else "pods"]["over"].values()
        spent, written = after.since(before), late.since(before)
        return Result(
            shape=shape.name,
            way=way,
            makespan_s=max(ends) - started_at,
            hops_ms=_hops(seen["pods"]) if shape.is_chain and way.startswith("Penstock") else [],
            writes_per_pod=written.writes / shape.pods,
            kilobytes_per_pod=written.bytes_written / shape.pods / 1000,
            requests_per_pod={f"{verb} {resource}": n / shape.pods for (verb, resource), n in written.requests.items()},
            cpu_ms_per_pod={name: value / shape.pods * 1000 for name, value in spent.cpu.items()},
            peak_mib={name: peak_mib(pid) for name, pid in self._pids.items()},
        )

    async def _start(self, shape: Shape, way: str, namespace: str) -> None:
        if way == "bare loop":
            await self._post_all(f"/api/v1/namespaces/{namespace}/pods", map(bare_pod, range(shape.pods)))
        elif way == "Indexed Job":
            await self.post(f"/apis/batch/v1/namespaces/{namespace}/jobs", indexed_job(shape.pods))
        else:
            runs = shape.runs(way == "Penstock")
            await self._post_all(f"/apis/penstock.dev/v1alpha1/namespaces/{namespace}/flowruns", runs)

    async def _until_over(self, watcher: asyncio.subprocess.Process, shape: Shape, way: str) -> Any:
        assert watcher.stdin is not None
        assert watcher.stdout is not None
        wanted = len(shape.runs(way == "Penstock")) if way.startswith("Penstock") else shape.pods
        kind = "runs" if way.startswith("Penstock") else "pods"
        ends_at = time.monotonic() + LIMIT_S
        while True:
            watcher.stdin.write(b"count\n")
            over = json.loads(await watcher.stdout.readline())[kind]
            if over >= wanted:
                watcher.stdin.write(b"report\n")
                return json.loads(await watcher.stdout.readline())
            if time.monotonic() > ends_at:
                raise SystemExit(f"{shape.name}, {way}: {over} of {wanted} {kind} over after {LIMIT_S:g} s")
            await asyncio.sleep(POLL_S)

    async def _account(self) -> Account:
        async with self._session.get(f"{self._server}/metrics") as reply:
            return Account.take(self._pids, await reply.text())

    async def _post_all(self, path: str, bodies: Iterable[Body]) -> None:
        waiting = iter(bodies)

        async def work() -> None:
            for body in waiting:
                await self.post(path, body)

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))

    async def post(self, path: str, body: Body) -> None:
        """Create an object."""
        async with self._session.post(f"{self._server}{path}", json=body) as reply:
            if reply.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise SystemExit(f"POST {path}: {reply.status}: {await reply.text()}")
            await reply.read()

    async def _clear(self, namespace: str) -> None:
        """Delete a namespace, and wait until it is gone: emptying it is work, which would slow down what comes next."""
        url = f"{self._server}/api/v1/namespaces/{namespace}"
        async with self._session.delete(url) as reply:
            await reply.read()
        while True:
            async with self._session.get(url) as reply:
                await reply.read()
                if reply.status == HTTPStatus.NOT_FOUND:
                    return
            await asyncio.sleep(POLL_S)


def _hops(pods: dict[str, dict[str, Any]]) -> list[float]:
    """Return the times from a Pod's end to the next Pod's first sight, in milliseconds."""
    by_task = {int(task[1:]): name for name, task in pods["task"].items()}
    return [
        (pods["seen"][by_task[n]] - pods["over"][by_task[n - 1]]) * 1000 for n in range(1, len(by_task)) if n in by_task
    ]


@asynccontextmanager
async def operator(kubeconfig: Path, folder: Path) -> AsyncIterator[int]:
    """Run the operator with its webhooks; yields its process id."""
    pair = Authority.create(folder / "authority").sign(
        "server", subject="/CN=webhook", alternative_names=["IP:127.0.0.1"]
    )
    (folder / "tls.crt").write_bytes(pair.certificate.read_bytes())
    (folder / "tls.key").write_bytes(pair.key.read_bytes())
    with (folder / "operator.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "penstock_operator",
            "--bind-address", "127.0.0.1", "--http-port", str(HTTP_PORT),
            "--webhook-port", str(WEBHOOK_PORT), "--webhook-cert-dir", str(folder),
            env={**os.environ, "KUBECONFIG": str(kubeconfig)}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as session:
            await _until_leading(session, process)
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


async def _until_leading(session: aiohttp.ClientSession, process: asyncio.subprocess.Process) -> None:
    ends_at = time.monotonic() + 60
    while process.returncode is None and time.monotonic() < ends_at:
        try:
            async with session.get(f"http://127.0.0.1:{HTTP_PORT}/metrics") as reply:
                if "penstock_leader 1.0" in await reply.text():
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(POLL_S)
    raise SystemExit("the operator does not lead")


def webhook(ca: bytes) -> Body:
    """Return the configuration by which the API server asks the operator."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "penstock-bench"},
        "webhooks": [
            {
                "name": f"{plural}.penstock.dev",
                "rules": [
                    {
                        "apiGroups": ["penstock.dev"],
                        "apiVersions": ["v1alpha1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": [plural],
                    }
                ],
                "clientConfig": {
                    "url": f"https://127.0.0.1:{WEBHOOK_PORT}/validate/{plural}",
                    "caBundle": base64.b64encode(ca).decode(),
                },
                "failurePolicy": "Ignore",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 5,
            }
            for plural in ("flows", "flowruns")
        ],
    }


def ways(shape: Shape) -> list[str]:
    """Return the ways in which a shape's work is done."""
    found = ["bare loop", "Penstock"]
    if shape.bar[1] is not None:
        found.append("Penstock, untracked")
    if shape.has_job:
        found.append("Indexed Job")
    return found


async def run(options: argparse.Namespace) -> list[Result]:
    """Measure, and return every single result."""
    name = f"bench-{os.getpid()}"
    up = cluster.up(name, "fake")
    folder = up.state_dir / "bench"
    folder.mkdir()
    results: list[Result] = []
    try:
        connection = Connection.load({"KUBECONFIG": str(up.kubeconfig)})
        connector = aiohttp.TCPConnector(ssl=connection.ssl_context or True, limit=0)
        async with aiohttp.ClientSession(headers=connection.headers, connector=connector) as session:
            pids = {path.stem: json.loads(path.read_text())["pid"] for path in (up.state_dir / "run").glob("*.pid")}
            environment = {**os.environ, "KUBECONFIG": str(up.kubeconfig), "PYTHONPATH": str(ROOT)}
            bench = Bench(session, connection.server, pids, environment)
            for path in sorted((ROOT / "crds").glob("*.yaml")):
                await bench.post(
                    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(path.read_text())
                )
            async with operator(up.kubeconfig, folder) as pid:
                pids["operator"] = pid
                ca = (folder / "authority" / "ca.crt").read_bytes()
                await bench.post("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", webhook(ca))
                for number in range(options.rounds):
                    for shape in SHAPES:
                        if options.only and not any(word in shape.name for word in options.only):
                            continue
                        for way in ways(shape):
                            result = await bench.measure(shape, way)
                            results.append(result)
                            print(f"round {number + 1}: {result}", flush=True)
    finally:
        cluster.down(name)
    return results


def main() -> None:
    """Measure, print ratios, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="words of the shapes to run; all if not given")
    parser.add_argument("--output", type=Path, help="folder for results.json and results.md")
    options = parser.parse_args()
    results = asyncio.run(run(options))
    print(write(results, {shape.name: shape.bar for shape in SHAPES}, options.output))


if __name__ == "__main__":
    main()
