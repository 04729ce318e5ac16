"""A task that calls a flow."""

from prefect import flow, task


@flow
def child(x: int):
    return x * 2


@task
def t(x):
    return child(x)


@flow
def main():
    return t(4)


print(main())
