"""Hooks of a flow, called in a Pod of their own after its run has finished."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final

from penstock.authoring.runs.context import logger_of
from penstock.authoring.runs.runs import FLOW_RUN
from penstock.authoring.runs.states import State, StateType
from penstock.engine.failure_message import headline
from penstock.local.console import log
from penstock.runner.run_context import find_flow, flow_run_of

TYPES: Final[Mapping[str, StateType]] = {
    "Completed": StateType.COMPLETED,
    "Failed": StateType.FAILED,
    "TimedOut": StateType.FAILED,
    "Crashed": StateType.CRASHED,
    "Cancelled": StateType.CANCELLED,
}
HOOKS: Final[Mapping[StateType, str]] = {
    StateType.COMPLETED: "on_completion",
    StateType.FAILED: "on_failure",
    StateType.CRASHED: "on_crashed",
    StateType.CANCELLED: "on_cancellation",
}


def run_hooks(call: Mapping[str, Any], values: Sequence[Any]) -> tuple[int, dict[str, Any] | None]:
    """Call the hooks of a flow in order. An exception of a hook is logged and has no other effect.

    Args:
        call: the call.
        values: the values of its slots.

    Returns:
        The container's exit code, and no outputs.

    Raises:
        PenstockError: the code was not found.
    """
    log.set_up()
    flow = find_flow(call["hooks"])
    run = flow_run_of(call, values, flow)
    name = str(values[call["state"]])
    state: State[Any] = State(TYPES[name], name, _message(name, *values[call["state"] + 1 :]))
    run.enter_state(state)
    FLOW_RUN.set(run)
    for hook in getattr(flow.options, HOOKS[state.type]):
        try:
            answer = hook(flow, run, state)
            if inspect.isawaitable(answer):
                import asyncio  # noqa: PLC0415 - needed for coroutines only

                asyncio.run(_awaited(answer))
        except Exception:  # noqa: BLE001 - the other hooks are called all the same
            logger_of(run).exception("Hook %r raised", getattr(hook, "__name__", repr(hook)))
    return 0, None


def _message(state: str, why: str | None, failures: Sequence[Mapping[str, Any]]) -> str:
    """Return why a run ended in its state, then each of its tasks and items that failed, if there are several."""
    first = why or f"the run is {state}"
    if len(failures) < 2:  # noqa: PLR2004 - the message of the run names the only one
        return first
    return "\n".join([first, *(_failure(**each) for each in failures)])


def _failure(task: str, item: int | None, reason: str | None, message: str | None, **_: Any) -> str:
    name = task if item is None else f"{task}[{item}]"
    return f"{name}: {headline(reason, message)}"


async def _awaited(answer: Any) -> Any:
    return await answer
