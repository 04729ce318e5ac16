"""Names of runs from their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from penstock.authoring.options.options import RunName
from penstock.authoring.runs.runs import FLOW_RUN, TASK_RUN, FlowRun, TaskRun
from penstock.errors import OptionError, ParameterError
from penstock.local.lifecycle.final_state import describe
from penstock.local.lifecycle.validation import validate_parameters


def render_flow_run_name(name: RunName, run: FlowRun) -> str:
    """Return the name of a flow run from its validated parameters; its default name if they are invalid: it will fail.

    Args:
        name: as of `render_run_name`.
        run: the run, under its default name.

    Raises:
        OptionError: the string or function failed, or the function did not return a string.
    """
    given = run.parameters
    if run.flow.options.validate_parameters:
        try:
            run.parameters = validate_parameters(run.flow, given)
        except ParameterError:
            return run.name
    try:
        return render_run_name("flow_run_name", name, run)
    finally:
        run.parameters = given


def render_run_name(option: str, name: RunName, run: FlowRun | TaskRun) -> str:
    """Return the name of a run.

    Args:
        option: the option that sets the name, for messages.
        name: a string with parameters in braces, or a function without arguments or with `parameters`. The function
            can read the run from `penstock.runtime`.
        run: the run, under its default name.

    Raises:
        OptionError: the string or function failed, or the function did not return a string.
    """
    try:
        made = name.format(**run.parameters) if isinstance(name, str) else _call(name, run)
    except Exception as error:
        raise OptionError(f"{option} failed: {describe(error)}") from error
    if inspect.iscoroutine(made):
        made.close()
    if not isinstance(made, str):
        raise OptionError(f"{option} failed: the function returned a {type(made).__name__}, but a string is required")
    return made


def _call(name: Callable[..., Any], run: FlowRun | TaskRun) -> Any:
    takes_parameters = "parameters" in inspect.signature(name).parameters
    with _inside(run):
        return name(parameters=dict(run.parameters)) if takes_parameters else name()


@contextmanager
def _inside(run: FlowRun | TaskRun) -> Iterator[None]:
    """Make a run the current one, though it has not started."""
    token = TASK_RUN.set(run if isinstance(run, TaskRun) else None)
    flow_token = FLOW_RUN.set(run) if isinstance(run, FlowRun) else None
    try:
        yield
    finally:
        TASK_RUN.reset(token)
        if flow_token is not None:
            FLOW_RUN.reset(flow_token)
