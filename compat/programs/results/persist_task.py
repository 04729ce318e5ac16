"""A persisted result is used when the flow is retried."""

from prefect import flow, task

calls = []


@task(persist_result=True)
def t():
    calls.append(1)
    return len(calls)


runs = []


@flow(retries=1)
def main():
    got = t()
    runs.append(1)
    if len(runs) == 1:
        raise ValueError("first")
    return got, len(calls)


print(main())
