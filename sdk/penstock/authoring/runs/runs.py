"""Flow runs and task runs as data, for hooks, names, cache keys and `penstock.runtime`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from penstock.authoring.function import FlowFunction, TaskFunction
from penstock.authoring.runs.context_attributes import ContextAttributes, is_result_kept
from penstock.authoring.runs.run_attributes import FlowRunAttributes, RunAttributes, TaskRunAttributes
from penstock.authoring.runs.states import Pending, State

if TYPE_CHECKING:
    from uuid import UUID


class _Run(RunAttributes):
    """The common part of flow runs and task runs."""

    __slots__ = ("history", "id", "name", "run_count", "started_time", "state", "tags")

    def __init__(self, run_id: UUID, name: str, tags: frozenset[str]) -> None:
        self.id = run_id
        self.name = name
        self.tags = sorted(tags)
        self.run_count = 0
        """Number of attempts that have started."""
        self.started_time = time.time()
        self.state: State[Any] = Pending()
        self.history: list[State[Any]] = [self.state]

    def enter_state(self, state: State[Any]) -> None:
        """Change the state of the run."""
        self.state = state
        self.history.append(state)


class FlowRun(FlowRunAttributes, _Run):
    """One execution of a flow.

    Args:
        flow: the flow.
        run_id: id of the run.
        name: its name.
        parameters: the arguments by name, including defaults.
        tags: the run's tags.
        parent: the flow run inside of which it was called.
    """

    __slots__ = ("flow", "parameters", "parent")

    flow: FlowFunction
    parent: FlowRun | None

    def __init__(
        self,
        flow: FlowFunction,
        *,
        run_id: UUID,
        name: str,
        parameters: dict[str, Any],
        tags: frozenset[str],
        parent: FlowRun | None,
    ) -> None:
        super().__init__(run_id, name, tags)
        self.flow = flow
        self.parameters = parameters
        self.parent = parent

    @property
    def flow_name(self) -> str:
        """The flow's name."""
        return self.flow.name

    @property
    def root(self) -> FlowRun:
        """The outermost flow run: itself, or that of its callers."""
        return self if self.parent is None else self.parent.root

    def __repr__(self) -> str:
        """Return the name and state of the run."""
        return f"FlowRun({self.name!r}, {self.state.name})"


class TaskRun(TaskRunAttributes, _Run):
    """One execution of a task.

    Args:
        task: the task.
        run_id: id of the run.
        index: number of earlier runs of the task in the flow run.
        tags: the run's tags.
        flow_run: the flow run that it belongs to.
    """

    __slots__ = (
        "began_time",
        "flow_run",
        "index",
        "is_observed",
        "parameters",
        "task",
        "transaction",
        "upstream_failures",
    )

    task: TaskFunction
    flow_run: FlowRun | None

    def __init__(
        self, task: TaskFunction, *, run_id: UUID, index: int, tags: frozenset[str], flow_run: FlowRun | None
    ) -> None:
        super().__init__(run_id, f"{task.name}-{index}", tags)
        self.task = task
        self.index = index
        self.flow_run = flow_run
        self.parameters: Mapping[str, Any] = {}
        """The arguments by name, including defaults, with futures replaced by their results."""
        self.began_time = self.started_time
        """When its first attempt started, in seconds since the epoch."""
        self.transaction: Any = None
        """Its own transaction, if its function has asked for it."""
        self.is_observed = False
        """Whether the flow has read how it ended."""
        self.upstream_failures: tuple[TaskRun, ...] = ()
        """The runs because of which it did not start."""

    @property
    def task_name(self) -> str:
        """The task's name."""
        return self.task.name

    def mark_observed(self) -> None:
        """Record that the flow has read how it ended, and so why it did not start."""
        found = [self]
        while found:
            run = found.pop()
            if not run.is_observed:
                run.is_observed = True
                found += run.upstream_failures

    def __repr__(self) -> str:
        """Return the name and state of the run."""
        return f"TaskRun({self.name!r}, {self.state.name})"


class TaskRunContext(ContextAttributes):
    """The context that is passed to a `cache_key_fn` and to cache policies.

    Args:
        task_run: the run.
        parameters: the arguments by name.
    """

    __slots__ = ("parameters", "task_run")

    def __init__(self, task_run: TaskRun, parameters: Mapping[str, Any]) -> None:
        self.task_run = task_run
        self.parameters = parameters

    @classmethod
    def get(cls) -> TaskRunContext | None:
        """Return the context of the current task run; None outside of tasks."""
        run = TASK_RUN.get()
        return None if run is None else cls(run, run.parameters)

    def _run(self) -> TaskRun:
        return self.task_run

    @property
    def task(self) -> TaskFunction:
        """The task."""
        return self.task_run.task

    @property
    def persist_result(self) -> bool:
        """Whether the result is stored."""
        return is_result_kept(self.task_run)

    @property
    def start_time(self) -> datetime:
        """When the run was created."""
        return self.task_run.start_time

    @property
    def flow_run(self) -> FlowRun | None:
        """The flow run that the task run belongs to."""
        return self.task_run.flow_run


FLOW_RUN: Final[ContextVar[FlowRun | None]] = ContextVar("penstock_flow_run", default=None)
TASK_RUN: Final[ContextVar[TaskRun | None]] = ContextVar("penstock_task_run", default=None)
TAGS: Final[ContextVar[frozenset[str]]] = ContextVar("penstock_tags", default=frozenset())
