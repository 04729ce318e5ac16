"""Errors of runs under their Prefect names. `penstock.errors` has all errors under their own names."""

from __future__ import annotations

from penstock.errors import CancelledRunError as CancelledRun
from penstock.errors import CrashedRunError as CrashedRun
from penstock.errors import FailedRunError as FailedRun
from penstock.errors import MappingLengthMismatchError as MappingLengthMismatch
from penstock.errors import MappingMissingIterableError as MappingMissingIterable
from penstock.errors import MissingContextError
from penstock.errors import ParameterError as ParameterBindError
from penstock.errors import ParameterError as ParameterTypeError
from penstock.errors import UnfinishedRunError as UnfinishedRun
from penstock.errors import UpstreamFailedError as UpstreamTaskError

__all__ = [
    "CancelledRun",
    "CrashedRun",
    "FailedRun",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "MissingContextError",
    "ParameterBindError",
    "ParameterTypeError",
    "UnfinishedRun",
    "UpstreamTaskError",
]
