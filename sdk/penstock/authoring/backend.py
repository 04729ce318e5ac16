"""Where calls of flows and tasks are carried out: by this process, unless something else was put in its place."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

from penstock.authoring.function import FlowFunction, TaskFunction
from penstock.authoring.futures import Future
from penstock.authoring.runs import FlowRun

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT: Final = "penstock.local.backend"
"""A name and no import: running in this process is a layer above, and costs time that decorating need not take."""


class Call(NamedTuple):
    """A call as it was made."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    wait_for: Iterable[Any] | None = None
    return_state: bool = False


class Backend(Protocol):
    """Carries out flows and tasks."""

    def call_flow(self, flow: FlowFunction, call: Call) -> Any:
        """Run a flow, and return its result, or a coroutine of it for an async function."""

    def call_task(self, task: TaskFunction, call: Call) -> Any:
        """Run a task, and return its result, a coroutine of it, or the generator of it."""

    def submit(self, task: TaskFunction, call: Call) -> Future[Any]:
        """Have a task run, and return at once."""

    def map(self, task: TaskFunction, call: Call) -> Any:
        """Have a task run for each item; return the futures, or once all are over their states."""

    def pause(
        self, run: FlowRun, kind: type[Any] | None, *, timeout_s: float, key: str | None, message: str | None
    ) -> Any:
        """Wait for a person, and return the value of that type, or None for an approval."""

    def folder(self) -> Path:
        """Return the folder for what the run that this code is in keeps."""


_backend: Backend | None = None


def backend() -> Backend:
    """Return what carries out calls."""
    global _backend  # noqa: PLW0603 - one for the process
    if _backend is None:
        _backend = cast("Backend", importlib.import_module(DEFAULT).BACKEND)
    return _backend


@contextmanager
def in_place(replacement: Backend) -> Iterator[None]:
    """Have calls carried out by something else. For one thread: it holds for the whole process."""
    global _backend  # noqa: PLW0603 - one for the process
    before, _backend = _backend, replacement
    try:
        yield
    finally:
        _backend = before
