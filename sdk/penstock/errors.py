"""Every error that Penstock raises on purpose, one tree.

::

    PenstockError
    ├── CodeError           the code of a flow cannot be fetched by a Pod
    ├── CommandError        a command cannot be carried out
    │   └── RefusalError    the API server refused it; has the HTTP status of its reply
    ├── CompileError        a Python flow cannot be compiled to a Flow; says in which line, and what to do
    ├── DurationError       a duration is invalid
    ├── ExpressionError     an expression does not compile, or could not be evaluated
    │   └── SlowExpressionError
    ├── InvalidSpecError    a Flow, FlowRun or Schedule is invalid; has all problems that were found
    │   └── RevisionConflictError
    ├── LimitError          a limit does not exist, or could never be met
    ├── MappingError        the arguments of map() are not iterables of one length
    │   ├── MappingLengthMismatchError
    │   └── MappingMissingIterableError
    ├── MissingContextError something that only works inside a run was used outside
    ├── NotOfferedError     a name exists in Prefect but not in Penstock; says what to use instead
    ├── OptionError         an option does not exist, or its value is invalid
    ├── ParameterError      a flow or task does not accept the arguments
    ├── PauseError          a run cannot pause, or was not resumed
    ├── ResultError         a result cannot be stored or read, or has no cache key
    ├── ResumeError         a run cannot be resumed
    ├── RunError            a run did not complete; raised when its result is requested
    │   ├── CancelledRunError
    │   ├── CrashedRunError
    │   ├── FailedRunError
    │   ├── RunTimedOutError
    │   ├── UnfinishedRunError
    │   └── UpstreamFailedError
    ├── StoredStatusError   this version cannot read a stored status
    └── VariableError       a variable, or a value of a transaction, does not exist or cannot be set

Messages say what was wrong, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class PenstockError(Exception):
    """The root of the tree. Catch it to catch every error that Penstock raises on purpose."""


class CodeError(PenstockError):
    """The code of a flow cannot be fetched by a Pod."""


class CommandError(PenstockError):
    """A command cannot be carried out: its arguments, a file or the cluster do not allow it."""


class RefusalError(CommandError):
    """The API server refused a command.

    Args:
        message: why, for the user.
        status: HTTP status of the reply.
    """

    def __init__(self, message: str, status: int) -> None:
        self.status = status
        super().__init__(message)


class CompileError(PenstockError):
    """A Python flow cannot be compiled to a Flow. The message begins with file and line, and ends with what to do."""


class DurationError(PenstockError, ValueError):
    """A duration is invalid. It is a ValueError too, so that model validation reports the field."""


class ExpressionError(PenstockError):
    """An expression does not compile, or could not be evaluated."""


class SlowExpressionError(ExpressionError):
    """An expression takes too long to be evaluated where others wait for it."""


def in_field(field: str, error: ExpressionError) -> ExpressionError:
    """Return an error of the same kind whose message names the field."""
    return type(error)(f"{field}: {error}")


class LimitError(PenstockError):
    """A limit does not exist, is invalid, or has fewer slots than are asked for."""


class MappingError(PenstockError, TypeError):
    """The arguments of map() are not iterables of one length."""


class MappingLengthMismatchError(MappingError):
    """The iterables have different lengths."""


class MappingMissingIterableError(MappingError):
    """None of the arguments is an iterable."""


class MissingContextError(PenstockError, RuntimeError):
    """Something that only works inside a flow or task run was used outside."""


class NotOfferedError(PenstockError, ImportError):
    """A name exists in Prefect but not in Penstock. The message says what to use instead.

    It is an ImportError because `from penstock import name` keeps the message of no other error.
    """


class OptionError(PenstockError, TypeError):
    """An option of @flow, @task, a deployment or the operator does not exist, or its value is invalid."""


class ParameterError(PenstockError, TypeError):
    """A flow or task does not accept the arguments: too many, too few, or of the wrong type."""


class PauseError(PenstockError, RuntimeError):
    """A run cannot pause, or was not resumed."""


class ResultError(PenstockError, ValueError):
    """A result cannot be stored or read, or no cache key can be computed from the inputs."""


class ResumeError(PenstockError):
    """A run cannot be resumed."""


class RunError(PenstockError):
    """A run did not complete. Raised when its result is requested."""


class CancelledRunError(RunError):
    """The run was cancelled."""


class CrashedRunError(RunError):
    """The process of the run was terminated, or exited in the middle of the run."""


class FailedRunError(RunError):
    """The run failed without an exception of its own: it returned a failed state."""


class RunTimedOutError(RunError, TimeoutError):
    """The run took longer than its timeout."""


class UnfinishedRunError(RunError):
    """The run has not finished, so it has no result yet."""


class UpstreamFailedError(RunError):
    """The run did not start because a task that it depends on did not complete."""


class StoredStatusError(PenstockError):
    """This version cannot read a stored status."""


class VariableError(PenstockError, ValueError):
    """A variable, or a value of a transaction, does not exist or cannot be set."""


class Problem(NamedTuple):
    """One problem of a spec: where it is, and what to do about it."""

    path: str
    """Field path from the object's root, as Kubernetes writes it: `spec.tasks[2].dependsOn[0]`."""
    message: str

    def __str__(self) -> str:
        """Return the problem as one line for a person."""
        return f"{self.path}: {self.message}"


class InvalidSpecError(PenstockError):
    """A Flow, FlowRun or Schedule is invalid.

    Args:
        problems: all problems, at least one, in the order of the spec.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class RevisionConflictError(InvalidSpecError):
    """The ConfigMap that is to keep a spec exists, and holds something else."""
