"""concurrency() of a limit that does not exist."""

from prefect import flow, task
from prefect.concurrency.sync import concurrency


@task
def t(x):
    with concurrency("compat-none", occupy=1):
        return x


@flow
def main():
    return t.map([1, 2]).result()


print(main())
