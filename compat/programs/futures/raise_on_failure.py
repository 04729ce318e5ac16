"""The exception instead of the result."""

from prefect import flow, task


@task
def bad():
    raise ValueError("no")


@flow
def main():
    f = bad.submit()
    return repr(f.result(raise_on_failure=False))


print(main())
