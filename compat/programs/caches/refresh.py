"""refresh_cache runs again."""

from prefect import flow, task
from prefect.cache_policies import INPUTS

calls = []


@task(cache_policy=INPUTS)
def t(x):
    calls.append(x)
    return len(calls)


@flow
def main():
    return t("refresh"), t.with_options(refresh_cache=True)("refresh"), t("refresh")


print(main())
