"""The exception of a failed state without an exception."""

from prefect import flow
from prefect.exceptions import FailedRun
from prefect.states import Failed


@flow
def main():
    return Failed(message="no data")


try:
    main()
except FailedRun as e:
    print("FailedRun", e)
