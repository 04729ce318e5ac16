"""A generator flow read by another flow."""

from prefect import flow, task


@task
def t(x):
    return x + 10


@flow
def numbers():
    yield t(1)
    yield t(2)


@flow
def main():
    return list(numbers())


print(main())
