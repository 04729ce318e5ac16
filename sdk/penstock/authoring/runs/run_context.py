"""The contexts of the current runs, as objects: for code that asks `get_run_context()`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from penstock.authoring.function import FlowFunction
from penstock.authoring.options.task_runners import TaskRunner
from penstock.authoring.runs.context_attributes import ContextAttributes
from penstock.authoring.runs.runs import FLOW_RUN, FlowRun, TaskRunContext
from penstock.errors import MissingContextError


class FlowRunContext(ContextAttributes):
    """The context of a flow run.

    Args:
        flow_run: the run.
    """

    __slots__ = ("flow_run",)

    def __init__(self, flow_run: FlowRun) -> None:
        self.flow_run = flow_run

    @classmethod
    def get(cls) -> FlowRunContext | None:
        """Return the context of the current flow run; None outside of flows."""
        run = FLOW_RUN.get()
        return None if run is None else cls(run)

    def _run(self) -> FlowRun:
        return self.flow_run

    @property
    def task_runner(self) -> TaskRunner:
        """The task runner of the flow."""
        runner: TaskRunner = self.flow.task_runner
        return runner

    @property
    def flow(self) -> FlowFunction:
        """The flow."""
        return self.flow_run.flow

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name."""
        return self.flow_run.parameters

    @property
    def start_time(self) -> datetime:
        """When the run started."""
        return self.flow_run.start_time


def get_run_context() -> FlowRunContext | TaskRunContext:
    """Return the context of the current task run, or else of the flow run.

    Raises:
        MissingContextError: it was called outside of runs.
    """
    found = TaskRunContext.get() or FlowRunContext.get()
    if found is None:
        raise MissingContextError("get_run_context() was called outside of a flow or task")
    return found
