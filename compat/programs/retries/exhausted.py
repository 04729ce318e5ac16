"""A task whose retries do not suffice."""

from prefect import flow, task

calls = []


@task(retries=1)
def broken():
    calls.append(1)
    raise KeyError("k")


@flow
def main():
    broken()


try:
    main()
except KeyError as e:
    print("KeyError", e, len(calls))
