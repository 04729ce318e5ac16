"""The name of a flow that was not named has hyphens."""

from prefect import flow, task


@task
def one_step(): ...
@flow
def two_words(): ...


print(two_words.name, one_step.name)
