"""NO_CACHE, also under its old name."""

from prefect import flow, task
from prefect.cache_policies import NO_CACHE, NONE

calls = []


@task(cache_policy=NO_CACHE, persist_result=True)
def a():
    calls.append(1)


@task(cache_policy=NONE)
def b():
    calls.append(2)


@flow
def main():
    a(), a(), b(), b()


main()
print(calls)
