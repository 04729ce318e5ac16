"""The function of a task, for unit tests."""

from prefect import flow, task


@task
def t(x):
    return x + 1


@flow
def f(x):
    return t(x)


print(t.fn(1), f.fn.__name__)
