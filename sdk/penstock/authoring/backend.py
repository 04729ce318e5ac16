"""The backend: what runs flows and tasks when they are called. By default it is this process."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

from penstock.authoring.function import FlowFunction, TaskFunction
from penstock.authoring.runs.futures import Future
from penstock.authoring.runs.runs import FlowRun

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT: Final = "penstock.local.backend"
"""A name instead of an import: the module is in a higher layer, and decorating should not load it."""


class Call(NamedTuple):
    """The arguments of a call, as they were given."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    wait_for: Any = None
    return_state: bool = False


class Backend(Protocol):
    """Runs flows and tasks."""

    def call_flow(self, flow: FlowFunction, call: Call) -> Any:
        """Run a flow, and return its result, or a coroutine of it for an async function."""

    def call_task(self, task: TaskFunction, call: Call) -> Any:
        """Run a task, and return its result, a coroutine of it, or the generator of it."""

    def submit(self, task: TaskFunction, call: Call) -> Future[Any]:
        """Submit a task, and return its future immediately."""

    def map(self, task: TaskFunction, call: Call) -> Any:
        """Submit a task for each item. Return the futures, or wait and return the states."""

    def pause(
        self, run: FlowRun, kind: type[Any] | None, *, timeout_s: float, key: str | None, message: str | None
    ) -> Any:
        """Wait for a person. Return the value that was entered, or None for an approval."""

    def folder(self) -> Path:
        """Return the folder for files that the current run keeps."""

    def check_limits(self) -> None:
        """Refuse limits where they would not hold: they are those of one process."""

    def check_effect(self, what: str, advice: str) -> None:
        """Refuse what must not happen when a flow is compiled: see `check_effect`."""


_backend: Backend | None = None


def current_backend() -> Backend:
    """Return the backend of this process."""
    global _backend  # noqa: PLW0603 - one for the process
    if _backend is None:
        _backend = cast("Backend", importlib.import_module(DEFAULT).BACKEND)
    return _backend


def check_effect(what: str, advice: str) -> None:
    """Refuse an effect, or a value from outside, in the function of a flow that is being compiled.

    Args:
        what: what the function would do: "the variable 'region' would be set".
        advice: what to do instead.

    Raises:
        CompileError: a flow is being compiled.
    """
    if _backend is not None:
        _backend.check_effect(what, advice)


@contextmanager
def replaced_backend(replacement: Backend) -> Iterator[None]:
    """Replace the backend for the whole process. Not thread-safe."""
    global _backend  # noqa: PLW0603 - one for the process
    before, _backend = _backend, replacement
    try:
        yield
    finally:
        _backend = before
