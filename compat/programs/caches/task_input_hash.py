"""cache_key_fn=task_input_hash."""

from datetime import timedelta
from prefect import flow, task
from prefect.tasks import task_input_hash

calls = []


@task(cache_key_fn=task_input_hash, cache_expiration=timedelta(minutes=1))
def t(x):
    calls.append(x)
    return x


@flow
def main():
    return t(1), t(1)


print(main(), len(calls))
