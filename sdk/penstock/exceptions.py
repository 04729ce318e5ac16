"""Errors under their Prefect names. `penstock.errors` has all errors under their own names."""

from __future__ import annotations

from penstock.authoring.prefect.not_offered import refuse_others
from penstock.errors import (
    CancelledRunError,
    CommandError,
    CrashedRunError,
    FailedRunError,
    MappingLengthMismatchError,
    MappingMissingIterableError,
    MissingContextError,
    NotOfferedError,
    OptionError,
    ParameterError,
    PauseError,
    PenstockError,
    ResultError,
    UnfinishedRunError,
    UpstreamFailedError,
    VariableError,
)

PrefectException = PenstockError
CancelledRun = CancelledRunError
ConfigurationError = OptionError
CrashedRun = CrashedRunError
FailedRun = FailedRunError
FlowPauseTimeout = NotPausedError = PausedRun = PauseError
HashError = MissingResult = SerializationError = ResultError
InvalidNameError = ReservedArgumentError = OptionError
MappingLengthMismatch = MappingLengthMismatchError
MappingMissingIterable = MappingMissingIterableError
ObjectAlreadyExists = VariableError
ObjectNotFound = CommandError
ParameterBindError = ParameterTypeError = SignatureMismatchError = ParameterError
PrefectImportError = NotOfferedError
UnfinishedRun = UnfinishedRunError
UpstreamTaskError = UpstreamFailedError


class PrefectSignal(BaseException):
    """Never raised: for code that catches the signals of Prefect's engine."""


class Abort(PrefectSignal):
    """Never raised: no server refuses a state."""


class Pause(PrefectSignal):
    """Never raised: pausing waits where it is called."""


class ExternalSignal(BaseException):
    """Never raised: a signal raises SystemExit."""


TerminationSignal = ExternalSignal

__all__ = [
    "Abort",
    "CancelledRun",
    "ConfigurationError",
    "CrashedRun",
    "ExternalSignal",
    "FailedRun",
    "FlowPauseTimeout",
    "HashError",
    "InvalidNameError",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "MissingContextError",
    "MissingResult",
    "NotPausedError",
    "ObjectAlreadyExists",
    "ObjectNotFound",
    "ParameterBindError",
    "ParameterTypeError",
    "Pause",
    "PausedRun",
    "PrefectException",
    "PrefectImportError",
    "PrefectSignal",
    "ReservedArgumentError",
    "SerializationError",
    "SignatureMismatchError",
    "TerminationSignal",
    "UnfinishedRun",
    "UpstreamTaskError",
]

refuse_others(__name__)
