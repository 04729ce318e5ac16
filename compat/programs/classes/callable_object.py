"""A task of a function with a wrapper."""

import functools
from prefect import flow, task


def twice(fn):
    @functools.wraps(fn)
    def inner(*a, **k):
        return fn(*a, **k) * 2

    return inner


@task
@twice
def t(x):
    return x


@flow
def main():
    return t(4)


print(main(), t.name)
