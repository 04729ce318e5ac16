"""A task that returns a state with a name of its own."""

from prefect import flow, task
from prefect.states import Completed


@task
def t():
    return Completed(name="Skipped", message="nothing new", data=0)


@flow
def main():
    s = t(return_state=True)
    return s.name, s.message, s.is_completed()


print(main())
