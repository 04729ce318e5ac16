"""A stored result that is too old."""

import time
from datetime import timedelta
from prefect import flow, task
from prefect.cache_policies import INPUTS

calls = []


@task(cache_policy=INPUTS, cache_expiration=timedelta(seconds=0.2))
def t(x):
    calls.append(x)
    return x


@flow
def main():
    t("old")
    time.sleep(0.5)
    t("old")


main()
print(len(calls))
