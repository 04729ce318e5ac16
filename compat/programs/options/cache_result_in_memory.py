"""Memory options that have no effect on the result."""

from prefect import flow, task


@task(cache_result_in_memory=True)
def t():
    return 5


@flow(cache_result_in_memory=True)
def main():
    return t()


print(main())
