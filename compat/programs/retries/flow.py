"""A flow that succeeds at its second attempt."""

from prefect import flow

calls = []


@flow(retries=1)
def main():
    calls.append(1)
    if len(calls) == 1:
        raise RuntimeError("first")
    return "second"


print(main(), len(calls))
