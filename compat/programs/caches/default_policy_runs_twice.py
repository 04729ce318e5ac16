"""Two runs of a flow do not share results by the default policy."""

from prefect import flow, task

calls = []


@task(persist_result=True)
def t():
    calls.append(1)
    return len(calls)


@flow
def main():
    return t()


print(main(), main())
