"""Futures in the order of their ends."""

from prefect import flow, task
from prefect.futures import as_completed


@task
def t(x):
    return x


@flow
def main():
    return sorted(f.result() for f in as_completed([t.submit(i) for i in range(4)]))


print(main())
