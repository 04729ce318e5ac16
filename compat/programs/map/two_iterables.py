"""Two iterables in step."""

from prefect import flow, task


@task
def t(a, b):
    return a * b


@flow
def main():
    return t.map([1, 2, 3], b=[4, 5, 6]).result()


print(main())
