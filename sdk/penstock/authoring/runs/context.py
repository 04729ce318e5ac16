"""The logger of the current run, and tags for the runs that it starts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from penstock.authoring.loggers import FLOW_LOGGER, LOGS_ARE_OFF, TASK_LOGGER
from penstock.authoring.runs.runs import FLOW_RUN, TAGS, TASK_RUN, FlowRun, TaskRun
from penstock.errors import MissingContextError

if TYPE_CHECKING:
    RunLogger = logging.LoggerAdapter[logging.Logger]
else:
    RunLogger = logging.LoggerAdapter


class _RunLogger(RunLogger):
    """Adds the fields of a run to each record."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Merge the fields of the run with those of the call."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def logger_of(run: FlowRun | TaskRun, **extra: Any) -> RunLogger:
    """Return the logger of a run."""
    if isinstance(run, FlowRun):
        return _RunLogger(FLOW_LOGGER, {**_named(run), "run_name": run.name, "run_kind": "Flow run", **extra})
    return _RunLogger(TASK_LOGGER, {**_named(run), "run_name": run.name, "run_kind": "Task run", **extra})


def _named(run: FlowRun | TaskRun) -> dict[str, Any]:
    """Return the names that Prefect's records have."""
    flow_run = run if isinstance(run, FlowRun) else run.flow_run
    fields: dict[str, Any] = {}
    if flow_run is not None:
        fields = {"flow_run_name": flow_run.name, "flow_name": flow_run.flow_name}
    if isinstance(run, TaskRun):
        fields |= {"task_run_name": run.name, "task_name": run.task_name}
    return fields


def get_run_logger(context: Any = None, **extra: Any) -> RunLogger:
    """Return the logger of the current task or flow run.

    Args:
        context: the context of another run, from `penstock.context`.
        **extra: fields that are added to each record.

    Raises:
        MissingContextError: it was called outside of a flow or task.
    """
    given = getattr(context, "task_run", None) or getattr(context, "flow_run", None)
    run = given or TASK_RUN.get() or FLOW_RUN.get()
    if run is None and LOGS_ARE_OFF.get():
        return _RunLogger(FLOW_LOGGER, extra)
    if run is None:
        raise MissingContextError(
            "get_run_logger() was called outside of a flow or task: use logging.getLogger() there"
        )
    return logger_of(run, **extra)


@contextmanager
def tags(*names: str) -> Iterator[frozenset[str]]:
    """Add tags to all runs that are started in the `with` block.

    Args:
        *names: the tags.

    Yields:
        All tags that apply, including those of outer blocks.
    """
    merged = TAGS.get() | set(names)
    token = TAGS.set(merged)
    try:
        yield merged
    finally:
        TAGS.reset(token)
