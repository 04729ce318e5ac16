"""Functions as arguments that differ."""

from prefect import flow, task
from prefect.cache_policies import INPUTS


@task(cache_policy=INPUTS)
def apply(f, x):
    return f(x)


@flow
def main():
    return apply(lambda x: x + 1, 10), apply(lambda x: x * 2, 10)


print(main())
