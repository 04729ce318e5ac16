"""A task that returns Failed: the call."""

from prefect import flow, task
from prefect.states import Failed


@task
def t():
    return Failed(message="no rows")


@flow
def main():
    s = t(return_state=True)
    return s.type.value, s.message


print(main())
