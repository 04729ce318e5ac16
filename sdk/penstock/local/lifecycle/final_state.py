"""Final states of runs, from what their functions returned or raised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from penstock.authoring.runs.futures import Future
from penstock.authoring.runs.states import Cancelled, Completed, Crashed, Failed, State, TimedOut
from penstock.errors import CrashedRunError, RunTimedOutError
from penstock.local.interruption.deadline import DeadlineError, OverdueError
from penstock.local.interruption.interrupt import StoppedError

_COLLECTIONS: Final = (list, tuple, set, frozenset, dict)


def state_of_task_return(value: Any) -> State[Any]:
    """Return the final state of a task run from the return value.

    For a state, it is that state; for a collection of only states, that of `state_of_flow_return`.
    """
    if not isinstance(value, State):
        is_states = isinstance(value, list | tuple | set | frozenset) and all(isinstance(each, State) for each in value)
        return _state_of_states(value, list(value)) if is_states and value else Completed(data=value)
    if not value.is_final():
        return Failed(message=f"returned the state {value.name}, which is not a final state")
    value.is_returned = True
    return value


def state_of_flow_return(value: Any) -> State[Any]:
    """Return the final state of a flow run from the return value, after its tasks have finished.

    For a state or a future, it is that state. For a collection of only states and futures, the run is completed if all
    of them are, cancelled if one of them is, else failed; its data are the states. So it is failed if it returned a
    state that is not final, such as Paused: the run has ended, and nothing can resume it. The same is true of
    collections in it, unless these have states only, which the function itself has asked for. In any other collection,
    futures are ordinary values, which do not count as read by the flow.
    """
    if isinstance(value, Future):
        return state_of_task_return(value.state)
    if not _is_of_runs(value):
        return state_of_task_return(value)
    states = [_state_of(each) for each in _leaves(value)]
    return _state_of_states(value, states)


def _state_of_states(value: Any, states: list[State[Any]]) -> State[Any]:
    """Return the state of a run that returned a collection of states and futures, from their states."""
    bad = [each for each in states if not each.is_completed()]
    if bad:
        # A cancelled run says more than a failed one: it was stopped on request.
        cancelled = [each for each in bad if each.is_cancelled()]
        failed = [each for each in bad if each.is_final()]
        error = (cancelled or failed or bad)[0].exception()
        data = error if isinstance(error, Exception) else None
        if cancelled:
            return Cancelled(message=f"{len(cancelled)}/{len(states)} states cancelled.", data=data)
        if not failed:
            return Failed(message=f"{len(bad)}/{len(states)} states are not final.")
        return Failed(message=f"{len(failed)}/{len(states)} states failed.", data=data)
    return Completed(message="All states completed.", data=_with_states(value))


def _is_of_runs(value: Any) -> bool:
    """Whether a value is a collection of states and futures that decide about the run."""
    if not isinstance(value, _COLLECTIONS) or not all(isinstance(each, State | Future) for each in _leaves(value)):
        return False
    is_flat = not any(isinstance(each, _COLLECTIONS) for each in (value.values() if isinstance(value, dict) else value))
    return any(is_flat or isinstance(each, Future) for each in _leaves(value))


def _leaves(value: Any, around: tuple[int, ...] = ()) -> Iterator[Any]:
    """Yield what is in a collection and in the collections in it; a collection that is in itself, as it is."""
    if not isinstance(value, _COLLECTIONS) or id(value) in around:
        yield value
        return
    for each in value.values() if isinstance(value, dict) else value:
        yield from _leaves(each, (*around, id(value)))


def _with_states(value: Any) -> Any:
    """Return a collection with the states of its futures."""
    if isinstance(value, dict):
        return {key: _with_states(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_states(each) for each in value]
    if not isinstance(value, _COLLECTIONS):
        return _state_of(value)
    make = getattr(value, "_make", type(value))  # of named tuples
    return make(map(_with_states, value))


def _state_of(value: Any) -> State[Any]:
    state: State[Any] = value.state if isinstance(value, Future) else value
    return state


def state_of_error(error: BaseException, kind: str) -> State[Any]:
    """Return the final state of a run whose function raised.

    Args:
        error: what it raised.
        kind: `Flow run` or `Task run`.
    """
    if isinstance(error, OverdueError):
        message = f"{kind} {error}"
        return TimedOut(message=message, data=RunTimedOutError(message))
    if isinstance(error, StoppedError | DeadlineError):
        return Cancelled(message=f"{kind} was stopped because its flow run ended", data=error)
    if isinstance(error, Exception) and not isinstance(error, CrashedRunError):
        return Failed(message=f"{kind} encountered an exception: {describe(error)}", data=error)
    return Crashed(message=f"{kind} was ended by {describe(error)}", data=error)


def describe(error: BaseException) -> str:
    """Return an exception as one line: `ValueError: no such day`."""
    try:
        text = str(error).strip().split("\n")[0]
    except Exception:  # noqa: BLE001 - an exception of a user can have any __str__
        text = "(str() of the exception failed)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
