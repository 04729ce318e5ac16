"""Inputs that do not count."""

from prefect import flow, task
from prefect.cache_policies import INPUTS

calls = []


@task(cache_policy=INPUTS - "verbose")
def t(x, verbose):
    calls.append(x)
    return x


@flow
def main():
    return t("minus", verbose=True), t("minus", verbose=False)


print(main(), len(calls))
