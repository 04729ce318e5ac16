"""map over a list."""

from prefect import flow, task


@task
def t(x):
    return x * 10


@flow
def main():
    return t.map([1, 2, 3]).result()


print(main())
