"""States of flow runs and task runs in Python.

The names are those of the engine (`penstock.engine.state`). Use the type of a state in code; its name is for people and
may be any word. The types are Prefect's and `SKIPPED`, a final state of runs that did not start.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, Final, Generic, TypeVar, cast
from uuid import UUID, uuid4

from penstock.authoring.awaiting import awaitable
from penstock.authoring.runs.dumped import Dumped
from penstock.engine.state import RunState, TaskState
from penstock.errors import (
    CancelledRunError,
    CrashedRunError,
    FailedRunError,
    UnfinishedRunError,
    UpstreamFailedError,
)

R_co = TypeVar("R_co", covariant=True)


class StateType(StrEnum):
    """The types of states, for code that depends on them."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"


FINAL_TYPES: Final = frozenset(
    {StateType.COMPLETED, StateType.SKIPPED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED}
)

CACHED: Final = TaskState.CACHED.value
ROLLED_BACK: Final = "RolledBack"


_OF_THE_SERVER: Final = (
    *("flow_run_id", "task_run_id", "child_flow_run_id", "scheduled_time", "cache_key", "cache_expiration"),
    *("refresh_cache", "pause_timeout", "pause_key", "run_input_keyset", "retriable", "transition_id"),
    *("task_parameters_id", "traceparent"),
)
_FALSE_HERE: Final = ("deferred", "untrackable_result", "pause_reschedule")
"""Fields of Prefect's StateDetails, which are None or false for a state that no server has seen."""


class State(Dumped, Generic[R_co]):
    """The state of a run.

    Args:
        type: its type.
        name: its name, for people; that of the type if not given.
        message: the reason, for people.
        data: the result of a completed run, the exception of a failed one.
    """

    _fields = ("id", "type", "name", "timestamp", "message", "state_details", "data")
    __slots__ = ("_id", "_time", "data", "is_returned", "message", "name", "type")

    def __init__(
        self,
        type: StateType | str,  # noqa: A002 - Prefect's name
        name: str | None = None,
        message: str | None = None,
        data: Any = None,
        **_: Any,
    ) -> None:
        self.type = StateType(type)
        self.name = name or _default_name(self.type)
        self.message = message
        self.data = data
        self._time = time.time()
        self.is_returned = False
        """Whether the function of a run returned it: the caller of a task gets it as it is."""

    @property
    def state_details(self) -> SimpleNamespace:
        """What Prefect's server adds to states: nothing here."""
        return SimpleNamespace(**dict.fromkeys(_OF_THE_SERVER), **dict.fromkeys(_FALSE_HERE, False))

    @property
    def id(self) -> UUID:
        """An id of this state, which nothing else has."""
        try:
            return self._id
        except AttributeError:
            self._id: UUID = uuid4()  # made when it is asked for: there are many states
            return self._id

    @property
    def timestamp(self) -> datetime:
        """When the run entered the state."""
        return datetime.fromtimestamp(self._time, tz=UTC)

    def fresh_copy(self, **_: Any) -> State[R_co]:
        """Return the same state with a new id and the time of now; the data is that of this one."""
        return State(self.type, self.name, self.message, self.data)

    @awaitable
    def result(self, raise_on_failure: bool = True, retry_result_failure: bool = True) -> R_co:  # noqa: ARG002, FBT001, FBT002 - Prefect's signature
        """Return the result of the run. In a coroutine it may be awaited.

        Args:
            raise_on_failure: raise the exception of a failed run; false returns it.
            retry_result_failure: has no meaning: results are in memory.

        Raises:
            UnfinishedRunError: the run has not finished.
            Exception: the exception of a run that did not complete; a RunError if it has none.
        """
        if self.type is StateType.COMPLETED:
            return cast("R_co", self.data)
        error = self.exception()
        if error is None:
            raise UnfinishedRunError(f"the run is {self.name}: it has no result until it has finished")
        if raise_on_failure:
            raise error
        return cast("R_co", error)

    async def aresult(self, raise_on_failure: bool = True) -> R_co:  # noqa: FBT001, FBT002 - as above
        """Return the result as `result` does."""
        return self.result(raise_on_failure)

    def exception(self) -> BaseException | None:
        """Return the exception of the run; None if it completed or has not finished."""
        if isinstance(self.data, BaseException):
            return self.data
        if self.type is StateType.COMPLETED or not self.is_final():
            return None
        kinds = {
            StateType.CRASHED: CrashedRunError,
            StateType.CANCELLED: CancelledRunError,
            StateType.SKIPPED: UpstreamFailedError,
        }
        return kinds.get(self.type, FailedRunError)(self.message or self.name)

    def is_final(self) -> bool:
        """Whether the run has finished."""
        return self.type in FINAL_TYPES

    def is_scheduled(self) -> bool:
        """Whether the run waits for its start time or its next attempt."""
        return self.type is StateType.SCHEDULED

    def is_pending(self) -> bool:
        """Whether the run waits to start."""
        return self.type is StateType.PENDING

    def is_running(self) -> bool:
        """Whether the run is running."""
        return self.type is StateType.RUNNING

    def is_paused(self) -> bool:
        """Whether the run waits for a person."""
        return self.type is StateType.PAUSED

    def is_cancelling(self) -> bool:
        """Whether the run is being stopped."""
        return self.type is StateType.CANCELLING

    def is_completed(self) -> bool:
        """Whether the run has completed."""
        return self.type is StateType.COMPLETED

    def is_skipped(self) -> bool:
        """Whether the run did not start, for example because a task that it depends on did not complete."""
        return self.type is StateType.SKIPPED

    def is_failed(self) -> bool:
        """Whether the run failed or timed out."""
        return self.type is StateType.FAILED

    def is_cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return self.type is StateType.CANCELLED

    def is_crashed(self) -> bool:
        """Whether the run was ended from outside of its code."""
        return self.type is StateType.CRASHED

    def __repr__(self) -> str:
        """Return all of the state, as Prefect does: `Completed(message=None, type=COMPLETED, result=3)`."""
        return f"{self.name}(message={self.message!r}, type={self.type}, result={self.data!r})"

    def __str__(self) -> str:
        """Return the state as one word and its message: `Failed('no such file')`."""
        inside = [repr(self.message)] if self.message else []
        if self.name.upper() != self.type:
            inside.append(f"type={self.type}")
        return f"{self.name}({', '.join(inside)})"


def Scheduled(*, message: str | None = None, name: str = RunState.SCHEDULED.value) -> State[Any]:
    """Return the state of a run that starts later."""
    return State(StateType.SCHEDULED, name, message)


def Pending(*, message: str | None = None, name: str = TaskState.PENDING.value) -> State[Any]:
    """Return the state of a run that waits to start."""
    return State(StateType.PENDING, name, message)


def Running(*, message: str | None = None, name: str = TaskState.RUNNING.value) -> State[Any]:
    """Return the state of a run that is running."""
    return State(StateType.RUNNING, name, message)


def Retrying(*, message: str | None = None, name: str = TaskState.RETRYING.value) -> State[Any]:
    """Return the state of a run that failed and waits for its next attempt."""
    return State(StateType.SCHEDULED, name, message)


def Paused(*, message: str | None = None, name: str = RunState.PAUSED.value) -> State[Any]:
    """Return the state of a run that waits for a person."""
    return State(StateType.PAUSED, name, message)


def Completed(*, message: str | None = None, data: Any = None, name: str = TaskState.COMPLETED.value) -> State[Any]:
    """Return the state of a run that has completed."""
    return State(StateType.COMPLETED, name, message, data)


def Skipped(*, message: str | None = None, data: Any = None, name: str = TaskState.SKIPPED.value) -> State[Any]:
    """Return the state of a run that did not start."""
    return State(StateType.SKIPPED, name, message, data)


def Failed(*, message: str | None = None, data: Any = None, name: str = TaskState.FAILED.value) -> State[Any]:
    """Return the state of a run that failed."""
    return State(StateType.FAILED, name, message, data)


def TimedOut(*, message: str | None = None, data: Any = None, name: str = TaskState.TIMED_OUT.value) -> State[Any]:
    """Return the state of a run that took longer than its timeout."""
    return State(StateType.FAILED, name, message, data)


def Cancelled(*, message: str | None = None, data: Any = None, name: str = TaskState.CANCELLED.value) -> State[Any]:
    """Return the state of a run that was cancelled."""
    return State(StateType.CANCELLED, name, message, data)


def Crashed(*, message: str | None = None, data: Any = None, name: str = TaskState.CRASHED.value) -> State[Any]:
    """Return the state of a run that was ended from outside of its code."""
    return State(StateType.CRASHED, name, message, data)


def AwaitingRetry(*, message: str | None = None, name: str = "AwaitingRetry", **_: Any) -> State[Any]:
    """Return the state of a run that waits for its next attempt, under Prefect's name."""
    return State(StateType.SCHEDULED, name, message)


def AwaitingConcurrencySlot(
    *, message: str | None = None, name: str = "AwaitingConcurrencySlot", **_: Any
) -> State[Any]:
    """Return the state of a run that waits for a slot of a limit."""
    return State(StateType.SCHEDULED, name, message)


def Late(*, message: str | None = None, name: str = "Late", **_: Any) -> State[Any]:
    """Return the state of a run that has not started in time."""
    return State(StateType.SCHEDULED, name, message)


def Suspended(*, message: str | None = None, name: str = "Suspended", **_: Any) -> State[Any]:
    """Return the state of a run that waits without a process."""
    return State(StateType.PAUSED, name, message)


def Cancelling(*, message: str | None = None, name: str = "Cancelling") -> State[Any]:
    """Return the state of a run that is being stopped."""
    return State(StateType.CANCELLING, name, message)


def Submitting(*, message: str | None = None, name: str = "Submitting") -> State[Any]:
    """Return the state of a run whose process is being started."""
    return State(StateType.PENDING, name, message)


def InfrastructurePending(*, message: str | None = None, name: str = "InfrastructurePending") -> State[Any]:
    """Return the state of a run that waits for its process."""
    return State(StateType.PENDING, name, message)


@awaitable
def raise_state_exception(state: State[Any]) -> None:
    """Raise the exception of a state; do nothing if it completed."""
    state.result()


@awaitable
def get_state_exception(state: State[Any]) -> BaseException:
    """Return the exception of a state.

    Raises:
        ValueError: it has none.
    """
    error = state.exception()
    if error is None:
        raise ValueError(f"the state {state.name} has no exception")
    return error


async def get_state_result(state: State[R_co], raise_on_failure: bool = True, **_: Any) -> R_co:  # noqa: FBT001, FBT002 - Prefect's signature
    """Return the result of a state."""
    return state.result(raise_on_failure)


async def araise_state_exception(state: State[Any]) -> None:
    """Raise as `raise_state_exception` does."""
    state.result()


async def aget_state_exception(state: State[Any]) -> BaseException:
    """Return as `get_state_exception` does."""
    return get_state_exception(state)


def _default_name(type: StateType) -> str:  # noqa: A002 - as above
    return type.value.capitalize()
