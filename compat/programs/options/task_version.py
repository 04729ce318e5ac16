"""A version on a task."""

from prefect import flow, task


@task(version="2.1")
def t():
    return "ran"


@flow
def main():
    return t()


print(main())
