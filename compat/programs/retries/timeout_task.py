"""A task that takes too long."""

import time
from prefect import flow, task


@task(timeout_seconds=0.3)
def slow():
    time.sleep(2)


@flow
def main():
    s = slow(return_state=True)
    return s.name, s.is_failed()


print(main())
