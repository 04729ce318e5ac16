"""The independent watcher: a process of its own that notes when Pods and runs are first seen and when they finish.

    python bench/watcher.py NAMESPACE        (KUBECONFIG names the cluster)

Prints `ready`, then answers each line on its standard input: `count` with how many have finished, and how many Pods
have been seen, such as `{"pods": 3, "runs": 0, "seen": 7}`, and `report` with all that it knows, with times of this
machine in seconds since the epoch.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import msgspec

from penstock.engine.state import FINAL_RUN_STATES
from penstock.kube.connection import Connection

RETRY_S: Final = 1.0
UNLIMITED: Final = aiohttp.ClientTimeout(total=None)
POD_ENDS: Final = frozenset({"Succeeded", "Failed"})
RUN_ENDS: Final = frozenset(str(state) for state in FINAL_RUN_STATES)


class Metadata(msgspec.Struct):
    """Whose event it is."""

    name: str = ""
    labels: dict[str, str] = {}
    resource_version: str = msgspec.field(name="resourceVersion", default="")


class Status(msgspec.Struct):
    """How far it is."""

    phase: str = ""
    state: str = ""


class Seen(msgspec.Struct):
    """An object, as far as it matters here."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)
    status: Status | str = msgspec.field(default_factory=Status)
    """An error has a word there."""


class Event(msgspec.Struct):
    """An event of a watch."""

    type: str
    object: Seen


class Watched:
    """First sights and ends, by name."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}
        self.finished: dict[str, float] = {}
        self.state: dict[str, str] = {}
        self.task: dict[str, str] = {}

    def on_event(self, event: Event) -> None:
        """Handle an event."""
        now, name = time.time(), event.object.metadata.name
        status = event.object.status
        assert isinstance(status, Status)
        self.seen.setdefault(name, now)
        word = status.phase or status.state
        self.state[name] = word
        if word in POD_ENDS or word in RUN_ENDS:
            self.finished.setdefault(name, now)
        self.task[name] = event.object.metadata.labels.get("penstock.dev/task", "")

    def report(self) -> dict[str, Any]:
        """Return everything."""
        return {"seen": self.seen, "finished": self.finished, "state": self.state, "task": self.task}


async def watch(session: aiohttp.ClientSession, url: str, into: Watched, opened: asyncio.Event) -> None:
    """Follow a watch forever.

    The API server ends the watch of a slow reader; the next one continues from there, so nothing is lost.
    """
    decoder = msgspec.json.Decoder(Event)
    version = ""
    while True:
        async with session.get(url, params={"watch": "true", "resourceVersion": version}, timeout=UNLIMITED) as reply:
            if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
                # The API server does not serve this kind yet.
                await asyncio.sleep(RETRY_S)
                continue
            reply.raise_for_status()
            opened.set()
            rest = b""
            async for chunk in reply.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = decoder.decode(line)
                    if event.type == "ERROR":
                        raise SystemExit(f"a watch cannot continue: {line.decode()}")
                    version = event.object.metadata.resource_version
                    into.on_event(event)


async def main(namespace: str) -> None:
    """Watch a namespace until standard input ends."""
    connection = Connection.load(os.environ)
    pods, runs = Watched(), Watched()
    connector = aiohttp.TCPConnector(ssl=connection.ssl_context or True, limit=0)
    async with aiohttp.ClientSession(headers=connection.headers, connector=connector) as session:
        opened = [asyncio.Event(), asyncio.Event()]
        base = connection.server
        urls = (
            f"{base}/api/v1/namespaces/{namespace}/pods",
            f"{base}/apis/penstock.dev/v1alpha1/namespaces/{namespace}/flowruns",
        )
        tasks = [
            asyncio.create_task(watch(session, url, into, event))
            for url, into, event in zip(urls, (pods, runs), opened, strict=True)
        ]

        async def both_opened() -> None:
            for event in opened:
                await event.wait()

        both = asyncio.create_task(both_opened())
        done, _ = await asyncio.wait([both, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            # A watch that can't be opened ends all, and says why.
            task.result()
        print("ready", flush=True)
        while question := await asyncio.to_thread(sys.stdin.readline):
            for task in tasks:
                if task.done():
                    task.result()
            if question.strip() == "count":
                answer: dict[str, Any] = {
                    "pods": len(pods.finished),
                    "runs": len(runs.finished),
                    "seen": len(pods.seen),
                }
            else:
                answer = {"pods": pods.report(), "runs": runs.report()}
            print(json.dumps(answer), flush=True)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
