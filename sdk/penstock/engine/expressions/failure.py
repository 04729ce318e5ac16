"""Why an expression of plain CEL has no value, before it is known what its user calls things."""

from __future__ import annotations


class Failure(Exception):  # noqa: N818 - becomes an ExpressionError where the user's names are known
    """An expression that could not be evaluated.

    Args:
        message: why, for a person.
        may_be_path: whether the reason may be a path that does not exist.
        key: the key that a map lacks, if that is the reason.
    """

    def __init__(self, message: str, *, may_be_path: bool = False, key: str | None = None) -> None:
        self.message = message
        self.may_be_path = may_be_path
        self.key = key
        super().__init__(message)


class SlowFailure(Failure):
    """An expression that takes too long to be evaluated on this thread: see `SlowEvaluator.check_place`."""
