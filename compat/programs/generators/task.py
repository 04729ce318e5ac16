"""A generator as a task."""

from prefect import flow, task


@task
def rows():
    yield from (1, 2, 3)


@flow
def main():
    return [r * 2 for r in rows()]


print(main())
