"""The current flow and task run, for code inside of them: `penstock.runtime.flow_run.name`.

Outside of runs all values are None or empty.
"""

from __future__ import annotations

import sys
from datetime import datetime
from types import ModuleType
from typing import Any, Final, NoReturn, cast

from penstock.authoring.prefect.not_offered import refuse, refuse_others
from penstock.authoring.runs.runs import FLOW_RUN, TASK_RUN, FlowRun, TaskRun


class _Module:
    """What is a module in Prefect."""

    _name: str

    def __getattr__(self, name: str) -> NoReturn:
        """Say what to use instead of a name that only Prefect has."""
        if not name.startswith("_"):
            refuse(f"runtime.{self._name}", name)
        raise AttributeError(f"module 'penstock.runtime.{self._name}' has no attribute {name!r}")


class _FlowRun(_Module):
    """The current flow run."""

    _name = "flow_run"

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
        return [] if self._run is None else list(self._run.tags)

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
    def job_variables(self) -> dict[str, Any] | None:
        """Empty: there are no work pools; None outside of runs."""
        return None if self._run is None else {}

    @property
    def parent_deployment_id(self) -> None:
        """None, as all that only a server knows."""
        return None

    api_url = ui_url = parent_deployment_id

    @property
    def _run(self) -> FlowRun | None:
        return FLOW_RUN.get()


class _TaskRun(_Module):
    """The current task run."""

    _name = "task_run"

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
        return [] if self._run is None else list(self._run.tags)

    @property
    def run_count(self) -> int:
        """Number of attempts that have started."""
        return 0 if self._run is None else self._run.run_count

    @property
    def api_url(self) -> None:
        """None, as all that only a server knows."""
        return None

    ui_url = api_url

    @property
    def _run(self) -> TaskRun | None:
        return TASK_RUN.get()


class _Deployment(_Module):
    """The deployment of the current flow run: what only a server knows, so None or empty."""

    _name = "deployment"

    id = None
    name = None
    version = None

    @property
    def parameters(self) -> dict[str, Any]:
        """Empty: the parameters of a run are those of `flow_run`."""
        return {}

    @property
    def flow_run_id(self) -> str | None:
        """The id of the current flow run."""
        return flow_run.id


flow_run: Final = _FlowRun()
task_run: Final = _TaskRun()
deployment: Final = _Deployment()

# They are modules in Prefect, and imported as such.
for _name, _object in (("flow_run", flow_run), ("task_run", task_run), ("deployment", deployment)):
    sys.modules[f"{__name__}.{_name}"] = cast("ModuleType", _object)

refuse_others(__name__)
