"""A policy of a key function, combined with others."""

from prefect import flow, task
from prefect.cache_policies import CacheKeyFnPolicy, RUN_ID

calls = []


@task(cache_policy=CacheKeyFnPolicy(cache_key_fn=lambda ctx, params: f"k{params['x'] % 2}") + RUN_ID)
def t(x):
    calls.append(x)
    return x


@flow
def main():
    return t(1), t(2), t(3)


print(main(), calls)
