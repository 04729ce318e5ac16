"""Iterables of different lengths."""

from prefect import flow, task
from prefect.exceptions import MappingLengthMismatch


@task
def t(a, b): ...
@flow
def main():
    try:
        t.map([1], [1, 2])
    except MappingLengthMismatch:
        return "MappingLengthMismatch"


print(main())
