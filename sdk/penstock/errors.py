"""Every error that Penstock raises on purpose, one tree.

::

    PenstockError
    ├── CodeError           the code of a flow, which a Pod can't fetch
    ├── CommandError        what was typed at the command line can't be done
    │   └── RefusalError    the API server refused it; holds the status of its reply
    ├── CompileError        a Python flow that can't become a Flow; says in which line, and what to do
    ├── DurationError       a duration that can't be read
    ├── ExpressionError     an expression that does not compile, or whose value can't be had
    ├── InvalidSpecError    a Flow, FlowRun or Schedule that can't work; holds every problem found
    ├── MappingError        arguments of map() that don't make items
    │   ├── MappingLengthMismatchError
    │   └── MappingMissingIterableError
    ├── MissingContextError what only works inside a run was used outside
    ├── NotOfferedError     a name that other systems have and Penstock has not; says what to use
    ├── OptionError         an option that does not exist, or whose value is invalid
    ├── ParameterError      arguments that a flow or task does not take
    ├── PauseError          a run that can't pause, or was not resumed
    ├── ResultError         a result that can't be stored or read, or has no cache key
    ├── ResumeError         a run that can't be resumed
    ├── RunError            how a run ended that did not complete, for who asks for its result
    │   ├── CancelledRunError
    │   ├── CrashedRunError
    │   ├── FailedRunError
    │   ├── RunTimedOutError
    │   ├── UnfinishedRunError
    │   └── UpstreamFailedError
    ├── StoredStatusError   a stored status that this version can't read
    └── VariableError       a variable, or a value of a transaction, that does not exist or can't be set

Messages are for the person who must act: what was wrong, where, what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class PenstockError(Exception):
    """The root of the tree: catch it to catch everything that Penstock raises on purpose."""


class CodeError(PenstockError):
    """The code of a flow, which a Pod can't fetch."""


class CommandError(PenstockError):
    """What was typed at the command line can't be done: the words, the file or the cluster don't allow it."""


class RefusalError(CommandError):
    """The API server refused what was typed.

    Args:
        message: why, for the person who typed it.
        status: HTTP status of the reply.
    """

    def __init__(self, message: str, status: int) -> None:
        self.status = status
        super().__init__(message)


class CompileError(PenstockError):
    """A Python flow that can't become a Flow: the message begins with file and line, and ends with what to do."""


class DurationError(PenstockError, ValueError):
    """A duration that can't be read; a ValueError too, so that model validation reports its field."""


class ExpressionError(PenstockError):
    """An expression that does not compile, or whose value can't be had."""


class MappingError(PenstockError, TypeError):
    """Arguments of map() that don't make items."""


class MappingLengthMismatchError(MappingError):
    """Iterables of different lengths."""


class MappingMissingIterableError(MappingError):
    """No iterable at all."""


class MissingContextError(PenstockError, RuntimeError):
    """What only works inside a run was used outside."""


class NotOfferedError(PenstockError, ImportError):
    """A name that other systems have and Penstock has not.

    It is an ImportError because `from penstock import name` lets only those through with their message.
    """


class OptionError(PenstockError, TypeError):
    """An option of @flow or @task, or of the operator, that does not exist, or whose value is invalid."""


class ParameterError(PenstockError, TypeError):
    """Arguments that a flow or task does not take: too many, too few, or of the wrong type."""


class PauseError(PenstockError, RuntimeError):
    """A run that can't pause, or that was not resumed."""


class ResultError(PenstockError, ValueError):
    """A result that can't be stored or read, or inputs that no cache key can be made of."""


class ResumeError(PenstockError):
    """A run that can't be resumed."""


class RunError(PenstockError):
    """How a run ended that did not complete, for who asks for its result."""


class CancelledRunError(RunError):
    """The run was cancelled."""


class CrashedRunError(RunError):
    """The run's process was told to end, or ended the run from inside."""


class FailedRunError(RunError):
    """The run failed without an exception of its own: it returned a failed state."""


class RunTimedOutError(RunError, TimeoutError):
    """The run took longer than its timeout."""


class UnfinishedRunError(RunError):
    """The run is not over, so it has no result yet."""


class UpstreamFailedError(RunError):
    """The run did not start because what it needed did not complete."""


class StoredStatusError(PenstockError):
    """A stored status that this version can't read."""


class VariableError(PenstockError, ValueError):
    """A variable, or a value of a transaction, that does not exist or can't be set."""


class Problem(NamedTuple):
    """One thing that is wrong with a spec: where, and what to do about it."""

    path: str
    """Field path from the object's root, as Kubernetes writes it: `spec.tasks[2].dependsOn[0]`."""
    message: str

    def __str__(self) -> str:
        """Return the problem as one line for a person."""
        return f"{self.path}: {self.message}"


class InvalidSpecError(PenstockError):
    """A Flow, FlowRun or Schedule that can't work.

    Args:
        problems: everything that was found wrong, at least one, in the order of the spec.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))
