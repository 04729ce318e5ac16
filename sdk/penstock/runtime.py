"""The current flow and task run, for code inside of them: `penstock.runtime.flow_run.name`.

Outside of runs all values are None or empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from penstock.authoring.runs import FLOW_RUN, TASK_RUN, FlowRun, TaskRun

_NOT_OFFERED: Final[Mapping[str, str]] = {
    "job_variables": "there are no work pools; the options of a task describe its Pod",
    "api_url": "there is no server",
    "ui_url": "there is no server",
}


class _FlowRun:
    """The current flow run."""

    @property
    def id(self) -> str | None:
        """Its id."""
        run = self._run
        return None if run is None else str(run.id)

    @property
    def name(self) -> str | None:
        """Its name."""
        return None if self._run is None else self._run.name

    @property
    def flow_name(self) -> str | None:
        """The name of its flow."""
        return None if self._run is None else self._run.flow_name

    @property
    def flow_version(self) -> str | None:
        """The version of its flow; None if that has none."""
        return None if self._run is None else self._run.flow.options.version

    @property
    def parameters(self) -> dict[str, Any]:
        """Its parameters by name."""
        return {} if self._run is None else dict(self._run.parameters)

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return [] if self._run is None else sorted(self._run.tags)

    @property
    def run_count(self) -> int:
        """Number of attempts that have started."""
        return 0 if self._run is None else self._run.run_count

    @property
    def scheduled_start_time(self) -> datetime | None:
        """When it was scheduled to start; for a run in this process, when it started."""
        return None if self._run is None else self._run.start_time

    @property
    def parent_flow_run_id(self) -> str | None:
        """The id of the flow run that called it; None if it is the outermost."""
        return None if self._run is None or self._run.parent is None else str(self._run.parent.id)

    @property
    def root_flow_run_id(self) -> str | None:
        """The id of the outermost flow run."""
        return None if self._run is None else str(self._run.root.id)

    @property
    def _run(self) -> FlowRun | None:
        return FLOW_RUN.get()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(_missing("flow_run", name))


class _TaskRun:
    """The current task run."""

    @property
    def id(self) -> str | None:
        """Its id."""
        return None if self._run is None else str(self._run.id)

    @property
    def name(self) -> str | None:
        """Its name."""
        return None if self._run is None else self._run.name

    @property
    def task_name(self) -> str | None:
        """The name of its task."""
        return None if self._run is None else self._run.task_name

    @property
    def parameters(self) -> dict[str, Any]:
        """Its arguments by name."""
        return {} if self._run is None else dict(self._run.parameters)

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return [] if self._run is None else sorted(self._run.tags)

    @property
    def run_count(self) -> int:
        """Number of attempts that have started."""
        return 0 if self._run is None else self._run.run_count

    @property
    def _run(self) -> TaskRun | None:
        return TASK_RUN.get()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(_missing("task_run", name))


flow_run: Final = _FlowRun()
task_run: Final = _TaskRun()


if not TYPE_CHECKING:  # as in penstock itself

    def __getattr__(name: str) -> Any:
        if name == "deployment":
            raise AttributeError("penstock.runtime has no 'deployment': use flow_run.flow_name for the flow of the run")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _missing(owner: str, name: str) -> str:
    advice = f": {_NOT_OFFERED[name]}" if name in _NOT_OFFERED else ""
    return f"penstock.runtime.{owner} has no {name!r}{advice}"
