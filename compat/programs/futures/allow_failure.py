"""A task that gets the exception of its input."""

from prefect import flow, task, allow_failure


@task
def bad():
    raise ValueError("no")


@task
def after(x):
    return type(x).__name__


@flow
def main():
    return after.submit(allow_failure(bad.submit())).result()


print(main())
