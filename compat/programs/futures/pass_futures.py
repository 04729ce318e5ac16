"""Futures as arguments are replaced by their results."""

from prefect import flow, task


@task
def a():
    return 2


@task
def add(x, y):
    return x + y


@flow
def main():
    return add.submit(a.submit(), y=a.submit()).result()


print(main())
