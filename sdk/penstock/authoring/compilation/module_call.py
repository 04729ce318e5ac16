"""Calls of flows and tasks while their module is imported, which every Pod that imports the module would repeat."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from penstock.authoring.backend import DEFAULT, Backend, Call, replaced_backend
from penstock.authoring.function import FlowFunction, TaskFunction
from penstock.authoring.pods.imported import ModuleLine, current_module_line


@contextmanager
def module_calls() -> Iterator[dict[ModuleLine, str]]:
    """Collect what is called from the top level of modules, by line: "flow 'etl'"."""
    watch = _Watch()
    with replaced_backend(cast("Backend", watch)):
        yield watch.calls


class _Watch:
    """The backend of this process, which keeps the lines of calls."""

    def __init__(self) -> None:
        self.calls: dict[ModuleLine, str] = {}

    def __getattr__(self, name: str) -> Any:
        """Return what the backend has: most modules call nothing, so it is not loaded before."""
        return getattr(importlib.import_module(DEFAULT).BACKEND, name)

    def call_flow(self, flow: FlowFunction, call: Call) -> Any:
        """Run a flow."""
        self._add(f"flow {flow.name!r}")
        return self.__getattr__("call_flow")(flow, call)

    def call_task(self, task: TaskFunction, call: Call) -> Any:
        """Run a task."""
        self._add(f"task {task.name!r}")
        return self.__getattr__("call_task")(task, call)

    def submit(self, task: TaskFunction, call: Call) -> Any:
        """Submit a task."""
        self._add(f"task {task.name!r}")
        return self.__getattr__("submit")(task, call)

    def map(self, task: TaskFunction, call: Call) -> Any:
        """Submit a task for each item."""
        self._add(f"task {task.name!r}")
        return self.__getattr__("map")(task, call)

    def _add(self, what: str) -> None:
        # What a flow calls has the line of the flow, which is the first there.
        if (line := current_module_line()) is not None:
            self.calls.setdefault(line, what)
