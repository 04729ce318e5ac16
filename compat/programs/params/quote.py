"""A big value that is not searched for futures."""

from prefect import flow, task
from prefect.utilities.annotations import quote


@task
def t(x):
    return len(x)


@flow
def main():
    return t(quote(list(range(1000))))


print(main())
