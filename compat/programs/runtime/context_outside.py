"""get_run_context outside of runs."""

from prefect.context import FlowRunContext, get_run_context
from prefect.exceptions import MissingContextError

try:
    get_run_context()
except MissingContextError:
    print("MissingContextError", FlowRunContext.get())
