"""A proxy that breaks connections, in front of a replica that runs as a process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import yaml

from penstock.kube.connection import Connection
from tests.api.faults import Fault, FaultProxy, Seen
from tests.api.scene import DEADLINE_S


class Proxy:
    """A `FaultProxy` in a thread of its own."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self.kubeconfig = folder / "proxy.kubeconfig"
        self._connection = connection
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="proxy")

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with FaultProxy(self._connection) as self._proxy:
            server = self._proxy.connection.server
            token = self._connection.headers["Authorization"].removeprefix("Bearer ")
            self.kubeconfig.write_text(
                yaml.safe_dump(
                    {
                        "apiVersion": "v1",
                        "kind": "Config",
                        "clusters": [{"name": "proxy", "cluster": {"server": server}}],
                        "users": [{"name": "admin", "user": {"token": token}}],
                        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "admin"}}],
                        "current-context": "proxy",
                    }
                )
            )
            self._is_up.set()
            await self._stop.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_up.wait(DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def fail(self, matches: Callable[[Seen], bool], **what: object) -> Fault:
        return self._proxy.fail(matches, **what)

    def seen(self, matches: Callable[[Seen], bool]) -> int:
        """Return how many such requests came."""
        return self._proxy.count(matches)

    def last(self, matches: Callable[[Seen], bool], after: int) -> list[str]:
        """Return such requests without the first so many, each as method and path."""
        return [f"{seen.method} {seen.path}" for seen in self._proxy.seen if matches(seen)][after:]

    @contextmanager
    def holding(self, matches: Callable[[Seen], bool]) -> Iterator[None]:
        """Let requests and watches fall behind for the length of the block."""
        held = self._proxy.hold(matches)
        yield
        self._loop.call_soon_threadsafe(held.released.set)

    def cut_streams(self) -> None:
        self._loop.call_soon_threadsafe(self._proxy.cut_streams)

    def end_hangs(self) -> None:
        self._loop.call_soon_threadsafe(self._proxy.end_hangs)

    def wait_for_requests(self, matches: Callable[[Seen], bool], count: int) -> None:
        waiting = self._proxy.wait_for_requests(matches, count)
        asyncio.run_coroutine_threadsafe(waiting, self._loop).result(DEADLINE_S)

    @contextmanager
    def outage(self, matches: Callable[[Seen], bool], **what: object) -> Iterator[None]:
        fault = self.fail(matches, **what)
        yield
        fault.times = 0
