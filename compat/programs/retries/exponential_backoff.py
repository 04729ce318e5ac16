"""Delays that double, with jitter."""

from prefect import flow, task
from prefect.tasks import exponential_backoff


@task(retries=3, retry_delay_seconds=exponential_backoff(backoff_factor=10), retry_jitter_factor=0.5)
def t():
    return 1


@flow
def main():
    return t()


print(main(), t.retry_delay_seconds)
