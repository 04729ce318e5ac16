"""The command line as a process of its own, and the objects that it works on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from kubernetes import client as kubernetes_client

from tests.api.waiting import DEADLINE_S
from tests.interrupts import interruptible

Start = Callable[..., Coroutine[Any, Any, "Typed"]]

FLOW: dict[str, Any] = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "Flow",
    "metadata": {"name": "orders"},
    "spec": {
        "params": [{"name": "day"}, {"name": "count", "type": "integer", "default": 1}],
        "tasks": [{"name": "load", "image": "x", "command": ["x"]}, {"name": "report", "image": "x", "command": ["x"]}],
    },
}


class Objects:
    """Flows and FlowRuns of the test's namespace."""

    def __init__(self, api: kubernetes_client.ApiClient, namespace: str) -> None:
        self._custom: Any = kubernetes_client.CustomObjectsApi(api)
        self._place = ("penstock.dev", "v1alpha1", namespace)

    def create(self, body: dict[str, Any]) -> None:
        self._custom.create_namespaced_custom_object(*self._place, f"{body['kind'].lower()}s", body)

    def create_run(self, name: str, **fields: Any) -> None:
        spec = {"flow": {"name": "orders"}, **fields}
        self.create({"apiVersion": FLOW["apiVersion"], "kind": "FlowRun", "metadata": {"name": name}, "spec": spec})

    def run(self, name: str) -> dict[str, Any]:
        run: dict[str, Any] = self._custom.get_namespaced_custom_object(*self._place, "flowruns", name)
        return run

    def get(self, plural: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._custom.get_namespaced_custom_object(*self._place, plural, name)
        return found

    def runs(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._custom.list_namespaced_custom_object(*self._place, "flowruns")["items"]
        return items

    def delete_run(self, name: str) -> None:
        self._custom.delete_namespaced_custom_object(*self._place, "flowruns", name)

    def patch_run(self, name: str, body: Any) -> None:
        self._custom.patch_namespaced_custom_object(*self._place, "flowruns", name, body)

    def set_status(
        self, run: str, state: str, *tasks: dict[str, Any], is_finished: bool = False, **fields: Any
    ) -> None:
        finished = {
            "type": "Finished",
            "status": str(is_finished),
            "reason": state,
            "message": "",
            "lastTransitionTime": "2026-11-22T12:00:00Z",
        }
        body = {"status": {"state": state, "tasks": list(tasks), "conditions": [finished], **fields}}
        self._custom.patch_namespaced_custom_object_status(*self._place, "flowruns", run, body)

    def patch_status(self, plural: str, name: str, status: dict[str, Any]) -> None:
        self._custom.patch_namespaced_custom_object_status(*self._place, plural, name, {"status": status})


class Typed:
    """A command that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []

    @classmethod
    async def start(cls, *words: str, kubeconfig: Path, namespace: str) -> Typed:
        with interruptible():
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "penstock.cli.main", "--kubeconfig", str(kubeconfig), "-n", namespace, *words),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        return cls(process)

    async def line(self, expected: str) -> str:
        """Read up to the line that has this in it."""
        assert self._process.stdout is not None
        while True:
            try:
                async with asyncio.timeout(DEADLINE_S):
                    raw = await self._process.stdout.readline()
            except TimeoutError:
                raise AssertionError(f"no line with {expected!r} in {DEADLINE_S:g} s; so far: {self.lines}") from None
            assert raw, f"it ended without a line with {expected!r}: {self.lines}"
            self.lines.append(raw.decode().rstrip())
            if expected in self.lines[-1]:
                return self.lines[-1]

    def send(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def end(self) -> int:
        """Read the rest; the exit code."""
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            self.lines += (await self._process.stdout.read()).decode().splitlines()
            return await self._process.wait()


def once(typed: Start, *words: str) -> tuple[int, list[str]]:
    """Run a command to its end: exit code and lines."""

    async def scenario() -> tuple[int, list[str]]:
        command = await typed(*words)
        return await command.end(), command.lines

    return asyncio.run(scenario())
