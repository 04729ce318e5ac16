"""A branch on the result of a task."""

from prefect import flow, task


@task
def count():
    return 5


@task
def big():
    return "big"


@task
def small():
    return "small"


@flow
def main():
    return big() if count() > 3 else small()


print(main())
