"""A cluster with fake nodes, the operator at work on it, and what is measured of both from outside."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import yaml

from bench.account import Account, peak_mib
from bench.report import Result
from bench.shapes import OWNER, SAME_PODS, Body, Shape, bare_pod, indexed_job, task_pods
from penstock.kube.connection import Connection
from tests import cluster
from tests.cluster.certificates import Authority

ROOT: Final = Path(__file__).parents[1]
FLOWRUNS: Final = "/apis/penstock.dev/v1alpha1/namespaces/{namespace}/flowruns"
IN_FLIGHT: Final = 32
TOKEN: Final = "bench" * 8
"""In the path of the webhook."""
POLL_S: Final = 0.2
LIMIT_S: Final = 120.0
LIMIT_PER_POD_S: Final = 0.1
SETTLE_S: Final = 1.0
BACKGROUND_WRITES: Final = 5
"""So many in `SETTLE_S` do not count as work."""


UNRECORDED: Final = "Penstock, unrecorded"
"""A way: who creates the runs is not recorded, so that creating one calls one webhook less."""
TRACKED: Final = frozenset({"Penstock", UNRECORDED})
UNRECORDED_LABEL: Final = "penstock.dev/bench-unrecorded"
"""Of namespaces."""

Ask = Callable[[str], Awaitable[Any]]
"""Asks the watcher for its `count`, or for its `report`."""


class Bench:
    """A cluster, on which work is done and measured.

    Args:
        session: to its API server.
        server: the API server's URL.
        pids: processes of the cluster, by name.
        kubeconfig: for child processes.
        folder: for the operator's certificate and log.
    """

    def __init__(
        self, session: aiohttp.ClientSession, server: str, pids: dict[str, int], *, kubeconfig: Path, folder: Path
    ) -> None:
        self.pids = pids
        self._session = session
        self._server = server
        self._folder = folder
        self._http_port, self._webhook_port = _free_port(), _free_port()
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(ROOT)}
        pair = Authority.create(folder / "authority").sign(
            "server", subject="/CN=webhook", alternative_names=["IP:127.0.0.1"]
        )
        (folder / "tls.crt").write_bytes(pair.certificate.read_bytes())
        (folder / "tls.key").write_bytes(pair.key.read_bytes())
        (folder / "token").write_text(TOKEN)

    async def measure(self, shape: Shape, way: str, *, namespace: str = "", kept: int | None = None) -> Result:
        """Do a shape's work one way, in a namespace of its own that is gone afterwards.

        Args:
            shape: the work.
            way: how.
            namespace: its name; a new one if not given.
            kept: measure until no more Pods than so many are left, because removing the others is work too.
        """
        namespace = namespace or f"bench-{uuid.uuid4().hex[:8]}"
        labels = {UNRECORDED_LABEL: ""} if way == UNRECORDED else {}
        await self.post("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": labels}})
        try:
            async with self.watching(namespace) as ask:
                flows = f"/apis/penstock.dev/v1alpha1/namespaces/{namespace}/flows"
                if way.startswith("Penstock") and shape.flow is not None:
                    await self.post(flows, shape.flow)
                await asyncio.sleep(SETTLE_S)
                before, started_at = await self.account(), time.time()
                await self._start(shape, way, namespace)
                seen = await self._until_finished(ask, shape, way)
                if kept is not None:
                    await self._until_left(namespace, kept, within_s=LIMIT_S + LIMIT_PER_POD_S * shape.pods)
                after = await self._until_idle()
        finally:
            await self.clear(namespace)
        ends = seen["runs" if way.startswith("Penstock") else "pods"]["finished"].values()
        spent = after.since(before)
        return Result(
            shape=shape.name,
            way=way,
            makespan_s=max(ends) - started_at,
            hops_ms=_hops(seen["pods"]) if shape.is_chain and way.startswith("Penstock") else [],
            writes_per_pod=spent.writes / shape.pods,
            kilobytes_per_pod=spent.bytes_written / shape.pods / 1000,
            requests_per_pod={f"{verb} {resource}": n / shape.pods for (verb, resource), n in spent.requests.items()},
            cpu_ms_per_pod={name: value / shape.pods * 1000 for name, value in spent.cpu.items()},
            peak_mib={name: peak_mib(pid) for name, pid in self.pids.items()},
        )

    @asynccontextmanager
    async def operator(self, *options: str) -> AsyncIterator[None]:
        """Run the operator, with further options, from the moment when it leads."""
        with (self._folder / "operator.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "penstock_operator",
                "--bind-address", "127.0.0.1", "--http-port", str(self._http_port),
                "--webhook-port", str(self._webhook_port), "--webhook-cert-dir", str(self._folder),
                "--webhook-token-file", str(self._folder / "token"), *options,
                env=self._environment, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            async with aiohttp.ClientSession() as session:
                await _until_leading(session, process, self._http_port)
            self.pids["operator"] = process.pid
            yield
        finally:
            if process.returncode is not None:
                tail = (self._folder / "operator.log").read_text().splitlines()[-20:]
                print("the operator ended by itself:", *tail, sep="\n", file=sys.stderr)
            else:
                process.terminate()
                await process.wait()

    def webhooks(self) -> dict[str, Body]:
        """Return the configurations by which the API server asks the operator, as in every installation, by plural."""
        validating = [
            self._webhook(f"{plural}.penstock.dev", plural, resources=[plural]) for plural in ("flows", "flowruns")
        ]
        recording = self._webhook("audit.penstock.dev", "audit", resources=["flowruns", "schedules", "backfills"]) | {
            "namespaceSelector": {"matchExpressions": [{"key": UNRECORDED_LABEL, "operator": "DoesNotExist"}]},
            "reinvocationPolicy": "IfNeeded",
        }
        return {
            f"{kind.lower()}webhookconfigurations": {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": f"{kind}WebhookConfiguration",
                "metadata": {"name": "penstock-bench"},
                "webhooks": webhooks,
            }
            for kind, webhooks in (("Validating", validating), ("Mutating", [recording]))
        }

    def _webhook(self, name: str, path: str, *, resources: list[str]) -> Body:
        ca = base64.b64encode((self._folder / "authority" / "ca.crt").read_bytes()).decode()
        url = f"https://127.0.0.1:{self._webhook_port}/validate/{TOKEN}/{path}"
        rule = {
            "apiGroups": ["penstock.dev"],
            "apiVersions": ["v1alpha1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": resources,
        }
        return {
            "name": name,
            "rules": [rule],
            "clientConfig": {"url": url, "caBundle": ca},
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 5,
        }

    async def _start(self, shape: Shape, way: str, namespace: str) -> None:
        if way == "bare loop":
            await self.post_all(f"/api/v1/namespaces/{namespace}/pods", map(bare_pod, range(shape.pods)))
        elif way == SAME_PODS:
            owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": OWNER}}
            uid = (await self.post(f"/api/v1/namespaces/{namespace}/configmaps", owner))["metadata"]["uid"]
            await self.post_all(f"/api/v1/namespaces/{namespace}/pods", task_pods(shape.pods, uid))
        elif way == "Indexed Job":
            await self.post(f"/apis/batch/v1/namespaces/{namespace}/jobs", indexed_job(shape.pods))
        else:
            runs = shape.runs(way in TRACKED)
            await self.post_all(f"/apis/penstock.dev/v1alpha1/namespaces/{namespace}/flowruns", runs)

    @asynccontextmanager
    async def watching(self, namespace: str) -> AsyncIterator[Ask]:
        """Have an independent process watch a namespace; yields what asks it."""
        watcher = await asyncio.create_subprocess_exec(
            sys.executable, str(ROOT / "bench" / "watcher.py"), namespace,
            env=self._environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**26,
        )  # fmt: skip
        assert watcher.stdin is not None
        assert watcher.stdout is not None
        to, answers = watcher.stdin, watcher.stdout

        async def ask(question: str) -> Any:
            to.write(f"{question}\n".encode())
            return json.loads(await answers.readline())

        try:
            assert (await answers.readline()).strip() == b"ready"
            yield ask
        finally:
            to.close()
            await watcher.wait()

    async def _until_finished(self, ask: Ask, shape: Shape, way: str) -> Any:
        wanted = len(shape.runs(way in TRACKED)) if way.startswith("Penstock") else shape.pods
        kind = "runs" if way.startswith("Penstock") else "pods"
        limit_s = LIMIT_S + LIMIT_PER_POD_S * shape.pods
        ends_at = time.monotonic() + limit_s
        while True:
            finished = (await ask("count"))[kind]
            if finished >= wanted:
                return await ask("report")
            if time.monotonic() > ends_at:
                raise SystemExit(f"{shape.name}, {way}: {finished} of {wanted} {kind} finished after {limit_s:g} s")
            await asyncio.sleep(POLL_S)

    async def _until_left(self, namespace: str, most: int, *, within_s: float) -> None:
        ends_at = time.monotonic() + within_s
        while True:
            left = await self.count(f"/api/v1/namespaces/{namespace}/pods")
            if left <= most:
                return
            if time.monotonic() > ends_at:
                raise SystemExit(f"{namespace}: {left} Pods are left after {within_s:g} s, and not {most}")
            await asyncio.sleep(SETTLE_S)

    async def _until_idle(self) -> Account:
        """Wait until nothing is written any more: removing finalizers is work too, and comes after the end."""
        last = await self.account()
        while True:
            await asyncio.sleep(SETTLE_S)
            now = await self.account()
            if now.since(last).writes <= BACKGROUND_WRITES:
                return now
            last = now

    async def account(self) -> Account:
        """Return what the cluster's processes and its API server have done so far."""
        async with self._session.get(f"{self._server}/metrics") as reply:
            return Account.take(self.pids, await reply.text())

    async def post_all(self, path: str, bodies: Iterable[Body]) -> None:
        """Create objects, as many at a time as the bare loop does."""
        waiting = iter(bodies)

        async def work() -> None:
            for body in waiting:
                await self.post(path, body)

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))

    async def count(self, path: str) -> int:
        """Return how many objects a collection has."""
        async with self._session.get(f"{self._server}{path}", params={"limit": "1"}) as reply:
            page = await reply.json()
        return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))

    async def size(self, path: str) -> int:
        """Return how many bytes an object has as JSON; 0 if there is none."""
        async with self._session.get(f"{self._server}{path}") as reply:
            body = await reply.read()
            return len(body) if reply.status == HTTPStatus.OK else 0

    async def patch_status(self, path: str, status: Body) -> None:
        """Write an object's status as its controller would."""
        headers = {"Content-Type": "application/merge-patch+json"}
        async with self._session.patch(
            f"{self._server}{path}/status", json={"status": status}, headers=headers
        ) as reply:
            if reply.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise SystemExit(f"PATCH {path}: {reply.status}: {await reply.text()}")
            await reply.read()

    async def post(self, path: str, body: Body) -> Body:
        """Create an object, and return it."""
        async with self._session.post(f"{self._server}{path}", json=body) as reply:
            if reply.status >= HTTPStatus.MULTIPLE_CHOICES:
                raise SystemExit(f"POST {path}: {reply.status}: {await reply.text()}")
            created: Body = msgspec.json.decode(await reply.read())
            return created

    async def clear(self, namespace: str) -> None:
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
        (pods["seen"][by_task[n]] - pods["finished"][by_task[n - 1]]) * 1000
        for n in range(1, len(by_task))
        if n in by_task
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _until_leading(session: aiohttp.ClientSession, process: asyncio.subprocess.Process, port: int) -> None:
    ends_at = time.monotonic() + 60
    while process.returncode is None and time.monotonic() < ends_at:
        try:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as reply:
                if "penstock_leader 1.0" in await reply.text():
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(POLL_S)
    raise SystemExit("the operator does not lead")


@asynccontextmanager
async def rig() -> AsyncIterator[Bench]:
    """Start a cluster with our kinds and webhooks, and stop it at the end. The operator is started apart."""
    name = f"bench-{os.getpid()}"
    up = cluster.up(name, "fake")
    folder = up.state_dir / "bench"
    folder.mkdir()
    try:
        connection = Connection.load({"KUBECONFIG": str(up.kubeconfig)})
        connector = aiohttp.TCPConnector(ssl=connection.ssl_context or True, limit=0)
        async with aiohttp.ClientSession(headers=connection.headers, connector=connector) as session:
            pids = {path.stem: json.loads(path.read_text())["pid"] for path in (up.state_dir / "run").glob("*.pid")}
            bench = Bench(session, connection.server, pids, kubeconfig=up.kubeconfig, folder=folder)
            for path in sorted((ROOT / "crds").glob("*.yaml")):
                await bench.post(
                    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(path.read_text())
                )
            for plural, configuration in bench.webhooks().items():
                await bench.post(f"/apis/admissionregistration.k8s.io/v1/{plural}", configuration)
            yield bench
    finally:
        cluster.down(name)
