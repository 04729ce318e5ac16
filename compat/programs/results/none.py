"""A task that returns nothing."""

from prefect import flow, task


@task(persist_result=True)
def t(): ...
@flow
def main():
    return t(), t.submit().result()


print(main())
