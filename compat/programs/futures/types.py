"""Names of the types of futures in annotations."""

from prefect import flow, task
from prefect.futures import PrefectFuture, PrefectFutureList


@task
def t(x) -> int:
    return x


def first(fs: PrefectFutureList) -> PrefectFuture:
    return fs[0]


@flow
def main():
    fs = t.map([7, 8])
    return first(fs).result(), isinstance(fs, list), isinstance(fs[0], PrefectFuture)


print(main())
