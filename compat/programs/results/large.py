"""A result of some megabytes."""

from prefect import flow, task


@task(persist_result=True)
def t():
    return bytes(3_000_000)


@flow
def main():
    return len(t())


print(main())
