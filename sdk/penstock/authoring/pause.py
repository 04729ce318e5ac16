"""Pausing a flow run until a person answers."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from penstock.authoring.awaiting import blocking
from penstock.authoring.backend import current_backend
from penstock.authoring.runs.runs import FLOW_RUN, TASK_RUN
from penstock.errors import PauseError

T = TypeVar("T")
TIMEOUT_S = 3600.0


@overload
def pause_flow_run(
    wait_for_input: None = None,
    *,
    timeout: float = TIMEOUT_S,
    key: str | None = None,
    message: str | None = None,
    poll_interval: float | None = None,
) -> None: ...
@overload
def pause_flow_run(
    wait_for_input: type[T],
    *,
    timeout: float = TIMEOUT_S,
    key: str | None = None,
    message: str | None = None,
    poll_interval: float | None = None,
) -> T: ...


@blocking
def pause_flow_run(
    wait_for_input: type[Any] | None = None,
    *,
    timeout: float = TIMEOUT_S,
    key: str | None = None,
    message: str | None = None,
    poll_interval: float | None = None,  # noqa: ARG001 - nothing is polled
) -> Any:
    """Pause the flow run until a person at the terminal approves it or enters a value.

    The clock of timeouts is stopped meanwhile.

    Args:
        wait_for_input: type of the value: a plain type, or a pydantic model, whose fields are asked for one by one.
            None asks for an approval.
        timeout: maximum wait in seconds.
        key: name of the pause; a run pauses once for each key.
        message: the question.
        poll_interval: has no meaning: the terminal is waited for.

    Returns:
        The value; None for an approval.

    Raises:
        PauseError: it was rejected or timed out, there is no terminal, the flow is not running, or it has paused for
            the key before.
    """
    message = message or getattr(wait_for_input, "_description", None)
    run = FLOW_RUN.get()
    if run is None:
        raise PauseError("pause_flow_run() was called outside of a flow")
    if TASK_RUN.get() is not None:
        raise PauseError("pause_flow_run() was called in a task: call it in the flow, between tasks")
    if not run.state.is_running():
        raise PauseError(f"flow run {run.name!r} cannot pause: it is {run.state.name}, not Running")
    return current_backend().pause(run, wait_for_input, timeout_s=timeout, key=key, message=message)


async def apause_flow_run(
    wait_for_input: type[Any] | None = None,
    *,
    timeout: float = TIMEOUT_S,  # noqa: ASYNC109 - the one of pause_flow_run
    key: str | None = None,
    message: str | None = None,
    poll_interval: float | None = None,  # noqa: ARG001 - as above
) -> Any:
    """Pause as pause_flow_run does, without blocking the event loop."""
    return await pause_flow_run(wait_for_input, timeout=timeout, key=key, message=message)  # type: ignore[misc]  # as above
