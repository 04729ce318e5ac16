"""RUN_ID shares a result inside of a run."""

from prefect import flow, task
from prefect.cache_policies import RUN_ID

calls = []


@task(cache_policy=RUN_ID)
def t(x):
    calls.append(x)
    return x


@flow
def main():
    return t(1), t(2)


print(main(), main(), calls)
