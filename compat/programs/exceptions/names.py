"""Names of exceptions."""

from prefect.exceptions import (
    Abort,
    CancelledRun,
    CrashedRun,
    FailedRun,
    MissingResult,
    ObjectNotFound,
    PrefectException,
    ParameterTypeError,
    UnfinishedRun,
)

print(
    issubclass(FailedRun, PrefectException),
    issubclass(CrashedRun, PrefectException),
    issubclass(UnfinishedRun, PrefectException),
)
