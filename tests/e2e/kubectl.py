"""kubectl, penstock and helm as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, Any

WAIT_S = 180
REACH_S = 60
PENSTOCK = (sys.executable, "-m", "penstock.cli.main")


@dataclass(frozen=True)
class Refused:
    """A command that did not succeed."""

    code: int
    message: str


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl.

    Attributes:
        environment: with KUBECONFIG and PATH.
        namespace: where; empty for the default one.
    """

    environment: Mapping[str, str]
    namespace: str = ""

    def in_namespace(self, namespace: str) -> Kubectl:
        """Return the same for a namespace."""
        return Kubectl(self.environment, namespace)

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command that must succeed, and return what it prints."""
        result = self._start(["kubectl", *self._scope(), *arguments], stdin)
        assert result.returncode == 0, f"kubectl {' '.join(arguments)}: {result.stderr}{self._why(arguments)}"
        return result.stdout

    def refused(self, *arguments: str, stdin: str | None = None) -> Refused:
        """Run a command that must not succeed."""
        result = self._start(["kubectl", *self._scope(), *arguments], stdin)
        assert result.returncode != 0, f"kubectl {' '.join(arguments)} succeeded: {result.stdout}"
        return Refused(result.returncode, result.stderr)

    def apply(self, manifest: str) -> str:
        """Apply a manifest."""
        return self.run("apply", "-f", "-", stdin=manifest)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return an object."""
        found: dict[str, Any] = json.loads(self.run("get", kind, name, "-o", "json"))
        return found

    def get_all(self, kind: str, *, selector: str = "") -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        listed: list[dict[str, Any]] = json.loads(self.run("get", kind, "-o", "json", "-l", selector))["items"]
        return listed

    def wait(self, what: str, condition: str, *, timeout_s: int = WAIT_S) -> None:
        """Wait for a condition of an object, without asking again and again."""
        self.run("wait", what, f"--for={condition}", f"--timeout={timeout_s}s")

    def reach(self, run: str, task: str, state: str, *, timeout_s: int = REACH_S) -> dict[str, Any]:
        """Wait until a task of a run is in a state, and return what the status then says of it."""
        condition = f'jsonpath={{.status.tasks[?(@.name=="{task}")].state}}={state}'
        self.wait(f"flowrun/{run}", condition, timeout_s=timeout_s)
        tasks = self.get("flowrun", run)["status"]["tasks"]
        entry: dict[str, Any] = next(entry for entry in tasks if entry["name"] == task)
        return entry

    def change(self, run: str, **spec: Any) -> None:
        """Change fields of a run's spec, as `kubectl patch` does."""
        self.run("patch", "flowrun", run, "--type=merge", "-p", json.dumps({"spec": spec}))

    def approve(self, run: str, task: str, *, timeout_s: int = REACH_S) -> None:
        """Approve a task, again if no webhook answered.

        An operator that was just killed is an endpoint of its Service for a moment, and a decision needs an answer.
        """
        decision = json.dumps({"spec": {"approvals": [{"task": task, "decision": "Approve"}]}})
        command = ["kubectl", *self._scope(), "patch", "flowrun", run, "--type=merge", "-p", decision]
        give_up_at = time.monotonic() + timeout_s
        while (result := self._start(command, None)).returncode != 0:
            assert any(text in result.stderr for text in ("failed calling webhook", "was not recorded")), result.stderr
            assert time.monotonic() < give_up_at, f"no webhook answered in {timeout_s} s: {result.stderr}"

    def release(self, pod: str) -> None:
        """Have the script UNTIL_RELEASED end."""
        self.run("exec", pod, "--container", "main", "--", "touch", "/tmp/go")

    def evict(self, pod: str) -> None:
        """Ask the Eviction API to remove a Pod."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        # --raw refuses a namespace beside it.
        replace(self, namespace="").run("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))

    def finish(self, run: str, *, timeout_s: int = WAIT_S) -> dict[str, Any]:
        """Wait until a run has finished, and return it."""
        self.wait(f"flowrun/{run}", "condition=Finished", timeout_s=timeout_s)
        return self.get("flowrun", run)

    @contextmanager
    def background(self, *arguments: str) -> Iterator[IO[str]]:
        """Run a command as long as the block lasts; gives what it prints."""
        with self._background(["kubectl", *self._scope(), *arguments]) as printed:
            yield printed

    @contextmanager
    def background_penstock(self, *arguments: str) -> Iterator[IO[str]]:
        """Run a command of our own command line as long as the block lasts, a minute at most; gives what it prints."""
        with self._background(["timeout", "60", *PENSTOCK, *arguments, *self._scope()]) as printed:
            yield printed

    def penstock(self, *arguments: str) -> str:
        """Run a command of our own command line."""
        result = self._start([*PENSTOCK, *arguments, *self._scope()], None)
        assert result.returncode == 0, f"penstock {' '.join(arguments)}: {result.stderr}"
        return result.stdout

    def helm(self, *arguments: str) -> str:
        """Run helm."""
        result = self._start(["helm", *arguments], None)
        assert result.returncode == 0, f"helm {' '.join(arguments)}: {result.stderr}"
        return result.stdout

    def _scope(self) -> list[str]:
        return ["--namespace", self.namespace] if self.namespace else []

    @contextmanager
    def _background(self, command: list[str]) -> Iterator[IO[str]]:
        with subprocess.Popen(command, env=dict(self.environment), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield process.stdout
            finally:
                process.terminate()

    def _start(self, command: list[str], stdin: str | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, input=stdin, env=dict(self.environment), capture_output=True, text=True, check=False
        )

    def _why(self, arguments: tuple[str, ...]) -> str:
        """Show the state of what was waited for in vain."""
        if arguments[0] != "wait":
            return ""
        shown = self._start(["kubectl", *self._scope(), "get", "flowruns,pods", "-o", "wide"], None).stdout
        described = self._start(["kubectl", *self._scope(), "describe", arguments[1]], None).stdout
        return f"\n{shown}\n{described}"
