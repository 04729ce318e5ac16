"""A cache policy together with persist_result=False."""

from prefect import flow, task
from prefect.cache_policies import INPUTS

calls = []


@task(cache_policy=INPUTS, persist_result=False)
def t(x):
    calls.append(x)
    return x


@flow
def main():
    return t("false"), t("false")


print(main(), len(calls))
