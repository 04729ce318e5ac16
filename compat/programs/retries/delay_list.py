"""Delays before retries as a list."""

from prefect import flow, task

calls = []


@task(retries=2, retry_delay_seconds=[0.01, 0.02])
def flaky():
    calls.append(1)
    if len(calls) < 3:
        raise ValueError
    return "done"


@flow
def main():
    return flaky()


print(main(), flaky.retry_delay_seconds)
