"""The exception of a cancelled state."""

from prefect import flow
from prefect.exceptions import CancelledRun
from prefect.states import Cancelled


@flow
def main():
    return Cancelled(message="stopped")


try:
    main()
except CancelledRun as e:
    print("CancelledRun", e)
