"""A failed task that nobody reads."""

from prefect import flow, task


@task
def bad():
    raise ValueError


@flow
def main():
    bad.submit().wait()
    return "fine"


print(main())
