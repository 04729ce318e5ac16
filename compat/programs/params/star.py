"""Positional and keyword arguments of any number."""

from prefect import flow, task


@task
def t(*args, **kwargs):
    return args, kwargs


@flow
def main(*args, **kwargs):
    return t(*args, **kwargs)


print(main(1, 2, a=3))
