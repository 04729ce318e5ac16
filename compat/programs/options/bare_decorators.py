"""Decorators without parentheses."""

from prefect import flow, task


@task
def double(x):
    return x * 2


@flow
def main():
    return double(21)


print(main())
