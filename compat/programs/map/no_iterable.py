"""map without an iterable."""

from prefect import flow, task
from prefect.exceptions import MappingMissingIterable


@task
def t(a): ...
@flow
def main():
    try:
        t.map(5)
    except MappingMissingIterable:
        return "MappingMissingIterable"


print(main())
