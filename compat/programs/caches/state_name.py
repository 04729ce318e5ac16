"""The name of the state of a cached run."""

from prefect import flow, task
from prefect.cache_policies import INPUTS


@task(cache_policy=INPUTS)
def t(x):
    return x


@flow
def main():
    return t("name", return_state=True).name, t("name", return_state=True).name


print(main())
