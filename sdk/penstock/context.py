"""The contexts of the current runs: `FlowRunContext.get()`, `TaskRunContext.get()`, `get_run_context()`."""

from __future__ import annotations

from penstock.authoring.context import tags
from penstock.authoring.not_offered import refuse_others
from penstock.authoring.run_context import FlowRunContext, get_run_context
from penstock.authoring.runs import TaskRunContext

__all__ = ["FlowRunContext", "TaskRunContext", "get_run_context", "tags"]

refuse_others(__name__)
