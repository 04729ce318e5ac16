"""A synthetic API server for `bench/leader.py`: it answers immediately, and its Pods finish immediately.

    python -m bench.synthetic [--cert FILE --key FILE]

Prints its port. It knows the few requests that carrying out runs takes, and nothing of what makes the real one an API
server: it exists to find out how many tasks a second the operator could do if nothing else were in its way. Its Pods
are as large as real ones, because reading them is part of the operator's work.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import copy
import itertools
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

JSON: Final = "application/json"
MANAGED_FIELDS: Final = [
    {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {f"f:{name}": {} for name in names}, "f:spec": {f"f:{name}": {} for name in names}},
    }
    for manager, names in (
        ("penstock-operator", [f"field-{n}" for n in range(20)]),
        ("kubelet", [f"field-{n}" for n in range(16)]),
    )
]
"""About as much as a task's Pod has in a real cluster."""

Body = dict[str, Any]


class Server:
    """Keeps Pods and runs, and tells watches of Pods and of new runs what happens."""

    def __init__(self) -> None:
        self._versions = itertools.count(1)
        self._pods: dict[str, Body] = {}
        self._runs: dict[str, Body] = {}
        self._pod_watches: list[asyncio.Queue[bytes]] = []
        self._new_run_watches: list[asyncio.Queue[bytes]] = []
        self._released = 0
        self._changed = asyncio.Condition()

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application()
        pods, runs = "/api/v1/namespaces/{ns}/pods", "/apis/penstock.dev/v1alpha1/namespaces/{ns}/flowruns"
        app.router.add_get(pods, lambda request: self._list_or_watch(request, self._pod_watches))
        app.router.add_post(pods, self._create_pod)
        app.router.add_patch(pods + "/{name}", self._release_pod)
        app.router.add_get(runs, lambda request: self._list_or_watch(request, self._new_run_watches))
        app.router.add_post("/start", self._start)
        app.router.add_get("/finalizers-removed", self._until_finalizers_removed)
        app.router.add_get(runs + "/{name}", self._read_run)
        app.router.add_patch(runs + "/{name}/status", self._store_status)
        app.router.add_post("/apis/events.k8s.io/v1/namespaces/{ns}/events", self._take_event)
        return app

    async def _list_or_watch(self, request: web.Request, watches: list[asyncio.Queue[bytes]]) -> web.StreamResponse:
        if "watch" not in request.query:
            return _reply({"metadata": {"resourceVersion": str(next(self._versions))}, "items": []})
        response = web.StreamResponse(headers={"Content-Type": JSON})
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        watches.append(queue)
        async with self._changed:
            self._changed.notify_all()
        with contextlib.suppress(ConnectionError):
            while True:
                lines = [await queue.get()]
                while not queue.empty():
                    lines.append(queue.get_nowait())
                await response.write(b"".join(lines))
        return response

    async def _create_pod(self, request: web.Request) -> web.Response:
        body, now = await request.json(), _now()
        name = body["metadata"]["name"]
        if name in self._pods:
            return _reply({"kind": "Status", "reason": "AlreadyExists", "code": 409}, status=409)
        body["metadata"] |= {
            "uid": f"uid-{name}",
            "creationTimestamp": now,
            "generation": 1,
            "managedFields": MANAGED_FIELDS,
        }
        body["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
        self._pods[name] = body
        self._change(self._pod_watches, body, "ADDED")
        metadata = copy.copy(body["metadata"])
        body["spec"]["nodeName"] = "node-1"
        main = {"name": "main", "image": "busybox", "ready": False, "restartCount": 0}
        for phase, state in (
            ("Running", {"running": {"startedAt": now}}),
            ("Succeeded", {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}),
        ):
            body["status"] = {
                "phase": phase,
                "podIP": "10.0.0.1",
                "startTime": now,
                "conditions": [{"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized", "Ready")],
                "containerStatuses": [{**main, "state": state}],
            }
            self._change(self._pod_watches, body, "MODIFIED")
        return _reply({"kind": "PartialObjectMetadata", "metadata": metadata}, status=201)

    async def _release_pod(self, request: web.Request) -> web.Response:
        await request.read()
        body = self._pods[request.match_info["name"]]
        body["metadata"]["finalizers"] = []
        self._change(self._pod_watches, body, "MODIFIED")
        self._released += 1
        async with self._changed:
            self._changed.notify_all()
        return _metadata(body)

    async def _start(self, request: web.Request) -> web.Response:
        """Create runs, given as a list, once there are watches: they are told nothing of what was before them."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._pod_watches and self._new_run_watches)
        for body in await request.json():
            name = body["metadata"]["name"]
            body["metadata"] |= {"uid": f"uid-{name}", "generation": 1, "creationTimestamp": _now()}
            self._runs[name] = body
            self._change(self._new_run_watches, body, "ADDED")
        return _reply({})

    async def _until_finalizers_removed(self, request: web.Request) -> web.Response:
        """Answer once the finalizers of so many Pods have been removed."""
        pods = int(request.query["pods"])
        async with self._changed:
            await self._changed.wait_for(lambda: self._released >= pods)
        return _reply({})

    async def _read_run(self, request: web.Request) -> web.Response:
        return _reply(self._runs[request.match_info["name"]])

    async def _store_status(self, request: web.Request) -> web.Response:
        body = self._runs[request.match_info["name"]]
        is_new = "status" not in body
        status = body.setdefault("status", {})
        for operation in json.loads(await request.read()):
            if operation["op"] == "test":
                continue
            parts = operation["path"].split("/")[2:]
            if not parts:
                body["status"] = status = operation["value"]
            elif len(parts) == 1:
                status[parts[0]] = operation.get("value")
        if is_new:
            # The selection is of runs without a state.
            self._change(self._new_run_watches, body, "DELETED")
        return _metadata(body)

    async def _take_event(self, request: web.Request) -> web.Response:
        await request.read()
        return _reply({"kind": "PartialObjectMetadata", "metadata": {}}, status=201)

    def _change(self, watches: list[asyncio.Queue[bytes]], body: Body, event: str) -> None:
        body["metadata"]["resourceVersion"] = str(next(self._versions))
        line = json.dumps({"type": event, "object": body}).encode() + b"\n"
        for queue in watches:
            queue.put_nowait(line)


def _now() -> str:
    return datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _metadata(body: Body) -> web.Response:
    return _reply({"kind": "PartialObjectMetadata", "metadata": body["metadata"]})


def _reply(body: Body, *, status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(body).encode(), status=status, content_type=JSON)


async def serve(context: ssl.SSLContext | None, on_port: Callable[[int], None]) -> None:
    """Serve until cancelled.

    Args:
        context: for TLS; None: in the clear.
        on_port: called with the port.
    """
    runner = web.AppRunner(Server().app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    on_port(runner.addresses[0][1])
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    options = parser.parse_args()
    context = None
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
    asyncio.run(serve(context, lambda port: print(port, flush=True)))


if __name__ == "__main__":
    main()
