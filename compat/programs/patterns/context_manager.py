"""A resource that a flow opens for its tasks."""

import contextlib
from prefect import flow, task


@contextlib.contextmanager
def opened():
    print("open")
    yield {"rows": 3}
    print("close")


@task
def read(resource):
    return resource["rows"]


@flow
def main():
    with opened() as r:
        return read(r)


print(main())
