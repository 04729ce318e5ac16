"""Runs in separate processes: how a new process finds its flow, and how it is stopped."""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from penstock.authoring.flow import Flow
from penstock.authoring.function import FlowFunction
from penstock.authoring.options.pickling import pickled
from penstock.authoring.runs.context import tags as with_tags
from penstock.authoring.runs.states import State
from penstock.errors import OptionError, ResultError
from penstock.local.serving.run_requests import UnreadableState

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

MAIN: Final = "__main__"
_CONTEXT: Final = multiprocessing.get_context("spawn")
"""New processes instead of forks, which would inherit threads, locks and event loops in any state."""


class FlowReference(NamedTuple):
    """The module and variable of a flow."""

    module: str
    variable: str

    def load_flow(self) -> Flow[..., Any]:
        """Import the flow, in any process."""
        found: Flow[..., Any] = getattr(importlib.import_module(self.module), self.variable)
        return found


def flow_reference(flow: FlowFunction) -> FlowReference:
    """Return the module and variable of a flow.

    Raises:
        OptionError: another process could not import it.
    """
    module = sys.modules.get(flow.fn.__module__)
    variable = next((name for name, value in vars(module).items() if value is flow), None) if module else None
    if variable is None:
        raise OptionError(
            f"flow {flow.name!r} cannot be imported by another process: assign it to a variable of its module, outside"
            " of functions"
        )
    if flow.fn.__module__ == MAIN and not Path(getattr(module, "__file__", None) or "").is_file():
        raise OptionError(
            f"flow {flow.name!r} is not in a file, so another process cannot import it: write it to a file"
        )
    return FlowReference(flow.fn.__module__, variable)


class RunProcess:
    """A run in a separate process.

    Args:
        reference: module and variable of its flow.
        name: its name, for messages.
        parameters: parameters of the flow.
        tags: tags of the run.
        run_name: the name that was asked for; None for that of the flow.
        is_state_kept: keep its final state, for who has asked for the run.
    """

    def __init__(
        self,
        reference: FlowReference,
        name: str,
        parameters: Mapping[str, Any],
        tags: frozenset[str],
        *,
        run_name: str | None = None,
        is_state_kept: bool = False,
    ) -> None:
        self.name = name
        self._file = _new_file() if is_state_kept else None
        arguments = (reference, dict(parameters), tags, run_name, self._file)
        self._process: SpawnProcess = _CONTEXT.Process(target=_run, args=arguments, name=name)
        self._process.start()

    @property
    def sentinel(self) -> int:
        """Handle that is ready when it has ended, for `multiprocessing.connection.wait`."""
        return self._process.sentinel

    @property
    def exit_code(self) -> int | None:
        """0 if the run completed; None while it is running; negative: the number of the signal that ended it."""
        return self._process.exitcode

    def take_state(self) -> bytes | None:
        """Return the pickle of its final state, once; None if it was not kept, or the process was killed."""
        if self._file is None:
            return None
        try:
            return self._file.read_bytes() or None
        finally:
            self._file.unlink(missing_ok=True)
            self._file = None

    def stop(self) -> None:
        """Stop the run: it becomes Crashed, and its hooks run."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and those that it has started."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process.exitcode is not None or self._process.pid is None:
            return
        try:
            # It leads a process group of its own, but only once it has started.
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            os.kill(self._process.pid, number)


def _new_file() -> Path:
    """Return an empty file that only this user can read: what is in it will be unpickled."""
    number, name = tempfile.mkstemp(prefix="penstock-state-")
    os.close(number)
    return Path(name)


def _run(
    reference: FlowReference, parameters: dict[str, Any], tags: frozenset[str], run_name: str | None, file: Path | None
) -> None:
    """Run a flow, and exit with 0 if it completed."""
    # Ctrl-C at the terminal must reach only the serving process, which stops this one.
    os.setpgid(0, 0)
    flow = reference.load_flow()
    if run_name is not None:
        flow = flow.with_options(flow_run_name=run_name.replace("{", "{{").replace("}", "}}"))
    with with_tags(*tags):
        state = flow(**parameters, return_state=True)
        if flow.is_async:
            state = asyncio.run(state)
    if file is not None:
        file.write_bytes(_pickled(state))
    sys.exit(0 if state.is_completed() else 1)


def _pickled(state: State[Any]) -> bytes:
    """Return the pickle of a state; if its data cannot be pickled, of one that says so when they are asked for."""
    try:
        text = pickled(state)
        pickle.loads(text)  # noqa: S301 - made here
    except Exception as error:  # noqa: BLE001 - what is raised depends on the value
        reason = ResultError(f"what the run returned or raised cannot be pickled: {type(error).__name__}: {error}")
        return pickled(UnreadableState(state.type, state.name, state.message, reason))
    return text
