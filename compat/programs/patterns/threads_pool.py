"""A thread pool of the program's own in a task."""

from concurrent.futures import ThreadPoolExecutor
from prefect import flow, task


@task
def t(n):
    with ThreadPoolExecutor(2) as pool:
        return sorted(pool.map(lambda x: x * x, range(n)))


@flow
def main():
    return t(4)


print(main())
