"""Runs of a flow in processes of their own: how a new process finds the flow, and how it is ended."""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from penstock.authoring.context import tags as with_tags
from penstock.authoring.flow import Flow
from penstock.authoring.function import FlowFunction
from penstock.errors import OptionError

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

MAIN: Final = "__main__"
_CONTEXT: Final = multiprocessing.get_context("spawn")
"""A process that knows nothing of this one: threads, locks and loops of this one can't be half there."""


class Reference(NamedTuple):
    """Where a flow stands."""

    module: str
    variable: str

    def load(self) -> Flow[..., Any]:
        """Find the flow, in another process too."""
        found: Flow[..., Any] = getattr(importlib.import_module(self.module), self.variable)
        return found


def refer_to(flow: FlowFunction) -> Reference:
    """Find out where a flow stands.

    Raises:
        OptionError: not where another process could find it.
    """
    module = sys.modules.get(flow.fn.__module__)
    variable = next((name for name, value in vars(module).items() if value is flow), None) if module else None
    if variable is None:
        raise OptionError(
            f"flow {flow.name!r} can't be found by another process: assign it to a variable of its module, outside of"
            " functions"
        )
    if flow.fn.__module__ == MAIN and not Path(getattr(module, "__file__", None) or "").is_file():
        raise OptionError(
            f"flow {flow.name!r} stands in no file, so that another process can't find it: write it to one"
        )
    return Reference(flow.fn.__module__, variable)


class Child:
    """A run in a process of its own.

    Args:
        reference: where its flow stands.
        name: what it is called in messages.
        parameters: arguments of the flow.
        tags: of the run.
    """

    def __init__(self, reference: Reference, name: str, parameters: Mapping[str, Any], tags: frozenset[str]) -> None:
        self.name = name
        self._process: SpawnProcess = _CONTEXT.Process(target=_run, args=(reference, dict(parameters), tags), name=name)
        self._process.start()

    @property
    def sentinel(self) -> int:
        """Ready when it has ended: for `multiprocessing.connection.wait`."""
        return self._process.sentinel

    @property
    def exit_code(self) -> int | None:
        """0 if the run completed; None while it goes on; less than 0: the signal that ended it."""
        return self._process.exitcode

    def stop(self) -> None:
        """End the run: its flow is Crashed, its hooks run."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process, and those that it has started."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process.exitcode is not None or self._process.pid is None:
            return
        try:
            # Its own group, which it leads as soon as it has begun; before that only the process is there.
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            os.kill(self._process.pid, number)


def _run(reference: Reference, parameters: dict[str, Any], tags: frozenset[str]) -> None:
    """Run a flow, and end the process with how it went."""
    # Ctrl-C at the terminal is for the process that serves: it decides what becomes of this one.
    os.setpgid(0, 0)
    flow = reference.load()
    with with_tags(*tags):
        state = flow(**parameters, return_state=True)
        if flow.is_async:
            state = asyncio.run(state)
    sys.exit(0 if state.is_completed() else 1)
