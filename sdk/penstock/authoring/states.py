"""States of runs in Python: how a run is doing, or how it ended and with what.

The words are those of the engine (`penstock.engine.state`). A state's type is what logic goes by; its name is for
people and may be any word. The types are Prefect's, with one more, `SKIPPED`: what did not have to run is over, and is
no success that others could build on.
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
    """What a state means to who decides by it."""

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
    """How a run is doing, or how it ended.

    Args:
        type: what the state means.
        name: the word for people; that of the type unless given.
        message: why, for people.
        data: of a completed run its result, of a failed one its exception.
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
        """Return what the run returned.

        Args:
            raise_on_failure: false returns the exception of a failed run instead of raising it.

        Raises:
            UnfinishedRunError: the run is not over.
            Exception: the run's own, if it did not complete; a RunError if it has none.
        """
        if self.type is StateType.COMPLETED:
            return cast("R_co", self.data)
        error = self.exception()
        if error is None:
            raise UnfinishedRunError(f"the run is {self.name}: it has no result before it is over")
        if raise_on_failure:
            raise error
        return cast("R_co", error)

    def exception(self) -> BaseException | None:
        """Return why the run did not complete; None if it did, or is not over."""
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
        """Whether the run is over."""
        return self.type in FINAL_TYPES

    def is_scheduled(self) -> bool:
        """Whether the run waits for a time: to start, or to try again."""
        return self.type is StateType.SCHEDULED

    def is_pending(self) -> bool:
        """Whether the run waits to start."""
        return self.type is StateType.PENDING

    def is_running(self) -> bool:
        """Whether the run runs."""
        return self.type is StateType.RUNNING

    def is_paused(self) -> bool:
        """Whether the run waits for a person."""
        return self.type is StateType.PAUSED

    def is_cancelling(self) -> bool:
        """Whether the run is being stopped."""
        return self.type is StateType.CANCELLING

    def is_completed(self) -> bool:
        """Whether the run is over, and well."""
        return self.type is StateType.COMPLETED

    def is_skipped(self) -> bool:
        """Whether the run did not start, because what it needed did not complete."""
        return self.type is StateType.SKIPPED

    def is_failed(self) -> bool:
        """Whether the run's own code failed it, or it took too long."""
        return self.type is StateType.FAILED

    def is_cancelled(self) -> bool:
        """Whether the run was stopped."""
        return self.type is StateType.CANCELLED

    def is_crashed(self) -> bool:
        """Whether something outside of the run's code ended it."""
        return self.type is StateType.CRASHED

    def __repr__(self) -> str:
        """Return the state as one word and its message: `Failed('no such file')`."""
        inside = [repr(self.message)] if self.message else []
        if self.name.upper() != self.type:
            inside.append(f"type={self.type}")
        return f"{self.name}({', '.join(inside)})"


def Scheduled(*, message: str | None = None, name: str = RunState.SCHEDULED.value) -> State[Any]:
    """Make the state of a run that is due later."""
    return State(StateType.SCHEDULED, name, message)


def Pending(*, message: str | None = None, name: str = TaskState.PENDING.value) -> State[Any]:
    """Make the state of a run that waits to start."""
    return State(StateType.PENDING, name, message)


def Running(*, message: str | None = None, name: str = TaskState.RUNNING.value) -> State[Any]:
    """Make the state of a run that runs."""
    return State(StateType.RUNNING, name, message)


def Retrying(*, message: str | None = None, name: str = TaskState.RETRYING.value) -> State[Any]:
    """Make the state of a run that failed and waits for its next attempt."""
    return State(StateType.SCHEDULED, name, message)


def Paused(*, message: str | None = None, name: str = RunState.PAUSED.value) -> State[Any]:
    """Make the state of a run that waits for a person."""
    return State(StateType.PAUSED, name, message)


def Completed(*, message: str | None = None, data: Any = None, name: str = TaskState.COMPLETED.value) -> State[Any]:
    """Make the state of a run that is over, and well."""
    return State(StateType.COMPLETED, name, message, data)


def Skipped(*, message: str | None = None, data: Any = None, name: str = TaskState.SKIPPED.value) -> State[Any]:
    """Make the state of a run that did not start, because what it needed did not complete."""
    return State(StateType.SKIPPED, name, message, data)


def Failed(*, message: str | None = None, data: Any = None, name: str = TaskState.FAILED.value) -> State[Any]:
    """Make the state of a run that its own code failed."""
    return State(StateType.FAILED, name, message, data)


def TimedOut(*, message: str | None = None, data: Any = None, name: str = TaskState.TIMED_OUT.value) -> State[Any]:
    """Make the state of a run that took longer than its timeout."""
    return State(StateType.FAILED, name, message, data)


def Cancelled(*, message: str | None = None, data: Any = None, name: str = TaskState.CANCELLED.value) -> State[Any]:
    """Make the state of a run that was stopped."""
    return State(StateType.CANCELLED, name, message, data)


def Crashed(*, message: str | None = None, data: Any = None, name: str = TaskState.CRASHED.value) -> State[Any]:
    """Make the state of a run that something outside of its code ended."""
    return State(StateType.CRASHED, name, message, data)
