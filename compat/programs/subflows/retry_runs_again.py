"""A child flow in a flow that is retried."""

from prefect import flow

calls = []


@flow(persist_result=True)
def child():
    calls.append(1)
    return len(calls)


tries = []


@flow(retries=1)
def main():
    got = child()
    tries.append(1)
    if len(tries) == 1:
        raise ValueError
    return got


print(main(), len(calls))
