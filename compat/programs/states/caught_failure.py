"""A failed task that the flow handles."""

from prefect import flow, task


@task
def bad():
    raise ValueError("x")


@flow
def main():
    try:
        bad()
    except ValueError:
        return "handled"


print(main())
