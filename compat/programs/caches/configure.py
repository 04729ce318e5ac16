"""A policy with its own folder of keys."""

from prefect import flow, task
from prefect.cache_policies import INPUTS

calls = []


@task(cache_policy=INPUTS.configure(key_storage="compat-keys"))
def t(x):
    calls.append(x)
    return x


@flow
def main():
    return t("configure"), t("configure")


print(main(), len(calls))
