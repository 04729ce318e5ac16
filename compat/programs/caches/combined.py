"""Policies added to each other."""

from prefect import flow, task
from prefect.cache_policies import INPUTS, TASK_SOURCE

calls = []


@task(cache_policy=INPUTS + TASK_SOURCE)
def t(x):
    calls.append(x)
    return x


@flow
def main():
    return t("sum"), t("sum")


print(main(), len(calls))
