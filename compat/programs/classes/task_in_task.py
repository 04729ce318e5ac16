"""A task that calls a task."""

from prefect import flow, task


@task
def inner(x):
    return x + 1


@task
def outer(x):
    return inner(x) * 2


@flow
def main():
    return outer(1), outer.submit(2).result()


print(main())
