"""A generator task that is submitted."""

from prefect import flow, task


@task
def rows():
    yield 1
    yield 2


@flow
def main():
    return list(rows.submit().result())


print(main())
