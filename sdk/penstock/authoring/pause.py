"""Pauses: a flow run that waits for a person."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from penstock.authoring.backend import backend
from penstock.authoring.runs import FLOW_RUN, TASK_RUN
from penstock.errors import OptionError, PauseError

T = TypeVar("T")
TIMEOUT_S = 3600.0


@overload
def pause_flow_run(
    wait_for_input: None = None, *, timeout: float = TIMEOUT_S, key: str | None = None, message: str | None = None
) -> None: ...
@overload
def pause_flow_run(
    wait_for_input: type[T], *, timeout: float = TIMEOUT_S, key: str | None = None, message: str | None = None
) -> T: ...


def pause_flow_run(
    wait_for_input: type[Any] | None = None,
    *,
    timeout: float = TIMEOUT_S,
    key: str | None = None,
    message: str | None = None,
    **not_offered: Any,
) -> Any:
    """Wait until the person at the terminal approves, or gives a value.

    Timeouts of flows and tasks stand still meanwhile.

    Args:
        wait_for_input: the type of the value: a plain type, or a pydantic model, which is asked for field by field.
            None asks for approval.
        timeout: how long to wait, in seconds.
        key: what the pause is called; a run pauses once for each.
        message: what to ask.
        **not_offered: refused.

    Returns:
        The value; None for an approval.

    Raises:
        OptionError: an option was given that only Prefect has.
        PauseError: it was not approved or not in time, there is no terminal, the flow does not run, or it has paused
            for the key before.
    """
    for name in not_offered:
        raise OptionError(f"pause_flow_run() has no option {name!r}: it waits at the terminal; leave it out")
    run = FLOW_RUN.get()
    if run is None:
        raise PauseError("pause_flow_run() works inside of a flow only")
    if TASK_RUN.get() is not None:
        raise PauseError("pause_flow_run() was called in a task: call it in the flow, between tasks")
    if not run.state.is_running():
        raise PauseError(f"flow run {run.name!r} can't pause: it is {run.state.name}, not Running")
    return backend().pause(run, wait_for_input, timeout_s=timeout, key=key, message=message)


async def apause_flow_run(
    wait_for_input: type[Any] | None = None,
    *,
    timeout: float = TIMEOUT_S,  # noqa: ASYNC109 - the one of pause_flow_run
    key: str | None = None,
    message: str | None = None,
) -> Any:
    """Wait as pause_flow_run does, while the event loop goes on."""
    import asyncio  # noqa: PLC0415 - who awaits has it; others don't pay for it

    return await asyncio.to_thread(
        pause_flow_run,
        wait_for_input,
        timeout=timeout,
        key=key,
        message=message,
    )
