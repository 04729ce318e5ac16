"""A policy written as a class."""

from prefect import flow, task
from prefect.cache_policies import CachePolicy

calls = []


class ByDay(CachePolicy):
    def compute_key(self, task_ctx, inputs, flow_parameters, **kwargs):
        return "by-day-" + inputs["day"]


@task(cache_policy=ByDay())
def t(day, verbose):
    calls.append(day)
    return day


@flow
def main():
    return t("mon", 1), t("mon", 2), t("tue", 1)


print(main(), calls)
