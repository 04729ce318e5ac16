"""A task that succeeds at its third attempt."""

from prefect import flow, task

calls = []


@task(retries=2)
def flaky():
    calls.append(1)
    if len(calls) < 3:
        raise ValueError("not yet")
    return len(calls)


@flow
def main():
    return flaky()


print(main())
