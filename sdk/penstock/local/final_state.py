"""Final states: what a function returned or raised, as the state of its run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.authoring.futures import Future
from penstock.authoring.states import Cancelled, Completed, Crashed, Failed, State, TimedOut
from penstock.errors import CrashedRunError, RunTimedOutError
from penstock.local.deadline import DeadlineError, OverdueError
from penstock.local.interrupt import StoppedError


def futures_in(value: Any) -> Iterator[Future[Any]]:
    """Walk the futures that a flow returned: itself one, or a collection of them."""
    if isinstance(value, Future):
        yield value
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from futures_in(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from futures_in(each)


def state_of_return(value: Any) -> State[Any]:
    """Return the final state of a run whose function returned.

    A state is taken as it is, a future's is its run's. A list, tuple or set of nothing but states and futures is
    completed if all of them are; its data are the states.
    """
    value = _with_states(value)
    if isinstance(value, State):
        if not value.is_final():
            return Failed(message=f"returned the state {value.name}, which is not the end of anything")
        return value
    states = list(value) if isinstance(value, list | tuple | set | frozenset) else []
    if not states or not all(isinstance(each, State) for each in states):
        return Completed(data=value)
    bad = [each for each in states if not each.is_completed()]
    if not bad:
        return Completed(message="All states completed.", data=value)
    error = bad[0].exception()
    return Failed(
        message=f"{len(bad)}/{len(states)} states failed.", data=error if isinstance(error, Exception) else None
    )


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
        return Cancelled(message=f"{kind} was stopped, because what it is part of ended", data=error)
    if isinstance(error, Exception) and not isinstance(error, CrashedRunError):
        return Failed(message=f"{kind} encountered an exception: {describe(error)}", data=error)
    return Crashed(message=f"{kind} was ended by {describe(error)}", data=error)


def describe(error: BaseException) -> str:
    """Return an exception as one line: `ValueError: no such day`."""
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _with_states(value: Any) -> Any:
    if isinstance(value, Future):
        return value.state
    if isinstance(value, list | tuple | set | frozenset) and any(isinstance(each, Future) for each in value):
        states = [_with_states(each) for each in value]
        return states if isinstance(value, list) else type(value)(states)
    return value
