"""The exception of a timeout is a TimeoutError."""

import time
from prefect import flow, task


@task(timeout_seconds=0.2)
def slow():
    time.sleep(1)


@flow
def main():
    try:
        slow()
    except TimeoutError:
        return "timed out"


print(main())
