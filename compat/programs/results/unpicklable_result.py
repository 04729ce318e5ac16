"""A result that the standard pickle refuses."""

from prefect import flow, task


@task(persist_result=True)
def make():
    return lambda x: x + 1


@flow
def main():
    return make()(1)


print(main())
