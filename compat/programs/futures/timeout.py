"""A result that does not come in time."""

import time
from prefect import flow, task


@task
def slow():
    time.sleep(0.6)


@flow
def main():
    f = slow.submit()
    try:
        f.result(timeout=0.05)
    except TimeoutError:
        return "TimeoutError"


print(main())
