"""What the call of a task gives that returns Failed."""

from prefect import flow, task
from prefect.states import Failed


@task
def t():
    return Failed(message="no rows")


@flow
def main():
    try:
        got = t()
    except Exception as e:
        return type(e).__name__
    return type(got).__name__


print(main())
