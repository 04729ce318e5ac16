"""Every error that Penstock raises on purpose, one tree.

::

    PenstockError
    ├── CommandError        what was typed at the command line can't be done
    │   └── RefusalError    the API server refused it; holds the status of its reply
    ├── DurationError       a duration that can't be read
    ├── ExpressionError     an expression that does not compile, or whose value can't be had
    ├── InvalidSpecError    a Flow, FlowRun or Schedule that can't work; holds every problem found
    └── StoredStatusError   a stored status that this version can't read

Messages are for the person who must act: what was wrong, where, what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class PenstockError(Exception):
    """The root of the tree: catch it to catch everything that Penstock raises on purpose."""


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


class DurationError(PenstockError, ValueError):
    """A duration that can't be read; a ValueError too, so that model validation reports its field."""


class ExpressionError(PenstockError):
    """An expression that does not compile, or whose value can't be had."""


class StoredStatusError(PenstockError):
    """A stored status that this version can't read."""


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
