"""The contexts of the current runs: `FlowRunContext.get()`, `TaskRunContext.get()`, `get_run_context()`."""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.authoring.runs.context import tags
from penstock.authoring.runs.run_context import FlowRunContext, get_run_context
from penstock.authoring.runs.runs import TaskRunContext

__all__ = ["FlowRunContext", "TaskRunContext", "get_run_context", "tags"]

refuse_others(__name__)
