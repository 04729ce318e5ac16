"""States of flow runs and task runs in Python.

The names are those of the engine (`penstock.engine.state`). Use the type of a state in code; its name is for people and
may be any word. The types are Prefect's and `SKIPPED`, a final state of runs that did not start.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar, cast

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


class State(Generic[R_co]):
    """The state of a run.

    Args:
        type: its type.
        name: its name, for people.
        message: the reason, for people.
        data: the result of a completed run, the exception of a failed one.
    """

    __slots__ = ("_time", "data", "message", "name", "type")

    def __init__(self, type: StateType, name: str, message: str | None = None, data: Any = None) -> None:  # noqa: A002
        self.type = type
        self.name = name
        self.message = message
        self.data = data
        self._time = time.time()

    @property
    def timestamp(self) -> datetime:
        """When the run entered the state."""
        return datetime.fromtimestamp(self._time, tz=UTC)

    def result(self, raise_on_failure: bool = True) -> R_co:  # noqa: FBT001, FBT002 - Prefect's signature
        """Return the result of the run.

        Args:
            raise_on_failure: raise the exception of a failed run; false returns it.

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
