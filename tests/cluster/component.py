"""A program of a cluster: how it is started and how one knows that it is well."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.api_server import answers, wait_until
from tests.cluster.errors import ClusterError
from tests.cluster.process import Processes

READY_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class Health:
    """What `status` says of one part."""

    name: str
    is_well: bool
    detail: str


@dataclass(frozen=True)
class Component:
    """One process of a cluster.

    Attributes:
        name: of its log and pid file.
        command: the program and its arguments.
        is_ready: asks it; by default that it runs is enough.
        environment: variables that it needs.
    """

    name: str
    command: list[str | Path]
    is_ready: Callable[[], bool] = field(default=lambda: True)
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def with_health_url(cls, name: str, command: list[str | Path], url: str) -> "Component":
        """One that answers 200 at a URL when it is well."""
        return cls(name=name, command=command, is_ready=lambda: answers(url))

    def health(self, processes: Processes) -> Health:
        process = processes.get(self.name)
        if process is None:
            return Health(self.name, is_well=False, detail="was not started")
        if not process.is_alive:
            detail = f"process {process.pid} ended, see {processes.log(self.name)}"
            return Health(self.name, is_well=False, detail=detail)
        if not self.is_ready():
            return Health(self.name, is_well=False, detail=f"pid {process.pid} runs but is not ready")
        return Health(self.name, is_well=True, detail=f"pid {process.pid}")


def start(component: Component, processes: Processes) -> None:
    """Start it and return at once."""
    processes.start(component.name, component.command, component.environment)


def wait_ready(components: Iterable[Component], processes: Processes, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Wait until all of them are ready.

    Raises:
        ClusterError: one ended or took too long; the message has the end of its log.
    """
    deadline_s = time.monotonic() + timeout_s
    for component in components:
        _wait_ready(component, processes, timeout_s=max(deadline_s - time.monotonic(), 1))


def _wait_ready(component: Component, processes: Processes, timeout_s: float) -> None:
    name = component.name

    def is_ready() -> bool:
        if not processes.is_alive(name):
            raise ClusterError(f"{name} ended; {last_words()}")
        return component.is_ready()

    def last_words() -> str:
        return f"the end of {processes.log(name)}:\n{processes.log_tail(name)}"

    wait_until(is_ready, timeout_s=timeout_s, explain=lambda: f"{name} is not ready in time; {last_words()}")
