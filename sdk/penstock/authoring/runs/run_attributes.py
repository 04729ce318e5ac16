"""What hooks read of runs beside what Penstock itself needs: the attributes that Prefect's objects have.

What only a server knows is None.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from penstock.authoring.runs.dumped import Dumped

if TYPE_CHECKING:
    from uuid import UUID

    from penstock.authoring.options.options import FlowOptions, TaskOptions
    from penstock.authoring.runs.states import State, StateType


class RunAttributes(Dumped):
    """Of flow runs and task runs."""

    __slots__ = ()

    state: State[Any]
    history: list[State[Any]]
    started_time: float
    run_count: int

    @property
    def state_name(self) -> str:
        """The name of its state."""
        return self.state.name

    @property
    def state_type(self) -> StateType:
        """The type of its state."""
        return self.state.type

    @property
    def state_id(self) -> UUID:
        """The id of its state."""
        return self.state.id

    @property
    def labels(self) -> dict[str, Any]:
        """Empty: nothing labels runs in this process."""
        return {}

    @property
    def empirical_policy(self) -> SimpleNamespace:
        """Its retries, under Prefect's names."""
        options = self._options()
        delays = list(options.retry_delays_s)
        return SimpleNamespace(
            retries=options.retries,
            retry_delay=delays[0] if len(delays) == 1 else delays,
            pause_keys=set(),
            resuming=False,
        )

    def _options(self) -> FlowOptions | TaskOptions:
        """Return the options of the flow or task; the two kinds of runs say whose."""
        raise NotImplementedError

    @property
    def start_time(self) -> datetime:
        """When the run was created."""
        return datetime.fromtimestamp(self.started_time, tz=UTC)

    @property
    def expected_start_time(self) -> datetime:
        """When it was to start: for a run in this process, when it did."""
        return self.start_time

    created = expected_start_time

    @property
    def updated(self) -> datetime:
        """When its state changed last."""
        return self.state.timestamp

    @property
    def end_time(self) -> datetime | None:
        """When it finished; None if it has not."""
        return self.state.timestamp if self.state.is_final() else None

    @property
    def total_run_time(self) -> timedelta:
        """How long it has run."""
        return (self.end_time or datetime.now(UTC)) - self.start_time

    estimated_run_time = total_run_time

    @property
    def estimated_start_time_delta(self) -> timedelta:
        """How late it started."""
        return timedelta()


class FlowRunAttributes(RunAttributes):
    """Of flow runs."""

    __slots__ = ()

    _fields = (
        *("id", "created", "updated", "name", "flow_id", "state_id", "deployment_id", "deployment_version"),
        *("work_queue_name", "flow_version", "parameters", "idempotency_key", "context", "empirical_policy", "tags"),
        *("labels", "parent_task_run_id", "run_count", "expected_start_time", "next_scheduled_start_time"),
        *("start_time", "end_time", "total_run_time", "estimated_run_time", "estimated_start_time_delta"),
        *("auto_scheduled", "infrastructure_document_id", "infrastructure_pid", "created_by", "work_queue_id"),
        *("work_pool_id", "work_pool_name", "state", "job_variables", "state_type", "state_name"),
    )

    flow: Any
    parent: Any

    def _options(self) -> FlowOptions:
        options: FlowOptions = self.flow.options
        return options

    @property
    def context(self) -> dict[str, Any]:
        """Empty: no deployment gives runs a context."""
        return {}

    @property
    def flow_id(self) -> UUID:
        """An id of its flow, the same in each process."""
        from uuid import NAMESPACE_URL, uuid5  # noqa: PLC0415 - needed by few hooks

        return uuid5(NAMESPACE_URL, self.flow.key)

    @property
    def flow_version(self) -> str | None:
        """The version of its flow."""
        version: str | None = self.flow.options.version
        return version

    @property
    def parent_flow_run_id(self) -> UUID | None:
        """The id of the flow run that called it."""
        return None if self.parent is None else self.parent.id

    @property
    def job_variables(self) -> dict[str, Any]:
        """Empty: there are no work pools."""
        return {}

    @property
    def auto_scheduled(self) -> bool:
        """Whether a schedule created it."""
        return False

    @property
    def deployment_id(self) -> None:
        """None, as all that only a server knows."""
        return None

    deployment_version = work_pool_name = work_pool_id = work_queue_name = work_queue_id = deployment_id
    parent_task_run_id = idempotency_key = next_scheduled_start_time = ui_url = created_by = infrastructure_pid = (
        deployment_id
    )
    infrastructure_document_id = deployment_id


class TaskRunAttributes(RunAttributes):
    """Of task runs."""

    __slots__ = ()

    _fields = (
        *("id", "created", "updated", "name", "flow_run_id", "task_key", "dynamic_key", "cache_key"),
        *("cache_expiration", "task_version", "empirical_policy", "tags", "labels", "state_id", "task_inputs"),
        *("state_type", "state_name", "run_count", "flow_run_run_count", "expected_start_time"),
        *("next_scheduled_start_time", "start_time", "end_time", "total_run_time", "estimated_run_time"),
        *("estimated_start_time_delta", "state"),
    )

    task: Any
    flow_run: Any
    index: int
    parameters: Any

    def _options(self) -> TaskOptions:
        options: TaskOptions = self.task.options
        return options

    @property
    def flow_run_id(self) -> UUID | None:
        """The id of its flow run; None outside of flows."""
        return None if self.flow_run is None else self.flow_run.id

    @property
    def flow_run_run_count(self) -> int:
        """The number of attempts of its flow run that have started."""
        return 0 if self.flow_run is None else int(self.flow_run.run_count)

    @property
    def task_key(self) -> str:
        """The task's name, and where its function is."""
        return str(self.task.task_key)

    @property
    def dynamic_key(self) -> str:
        """The number of earlier runs of the task in the flow run."""
        return str(self.index)

    @property
    def task_version(self) -> str | None:
        """The version of its task."""
        version: str | None = self.task.options.version
        return version

    @property
    def task_inputs(self) -> dict[str, list[Any]]:
        """The names of its parameters; the runs that they came from are not recorded."""
        return {name: [] for name in self.parameters}

    @property
    def cache_key(self) -> None:
        """None, as all that only a server knows."""
        return None

    cache_expiration = ui_url = next_scheduled_start_time = cache_key
