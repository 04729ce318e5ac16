"""A failure is not stored."""

from prefect import flow, task

calls = []


@task(persist_result=True)
def t():
    calls.append(1)
    if len(calls) == 1:
        raise ValueError
    return "second"


@flow
def main():
    t(return_state=True)
    return t()


print(main())
