"""A flow in a flow."""

from prefect import flow, task


@task
def t(x):
    return x


@flow
def child(x: int):
    return t(x) + 1


@flow
def main():
    return child(1) + child(2)


print(main())
