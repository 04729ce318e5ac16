"""What a flow that returns one future gives its caller."""

from prefect import flow, task


@task
def t():
    return 5


@flow
def main():
    return t.submit()


print(main())
