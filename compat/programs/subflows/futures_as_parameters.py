"""Futures as parameters of a child flow."""

from prefect import flow, task


@task
def t():
    return 4


@flow
def child(x: int):
    return x + 1


@flow
def main():
    return child(t.submit())


print(main())
