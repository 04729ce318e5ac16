"""Futures in lists and dictionaries are replaced too."""

from prefect import flow, task


@task
def n(x):
    return x


@task
def total(xs, named):
    return sum(xs) + sum(named.values())


@flow
def main():
    return total([n.submit(1), n.submit(2)], {"a": n.submit(10)})


print(main())
