"""Caching by inputs."""

from prefect import flow, task
from prefect.cache_policies import INPUTS

calls = []


@task(cache_policy=INPUTS)
def t(x):
    calls.append(x)
    return x


@flow
def main():
    return t("a"), t("a"), t("b")


print(main(), calls)
