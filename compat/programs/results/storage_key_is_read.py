"""A stored result is used by a second flow run."""

from prefect import flow, task

calls = []


@task(persist_result=True, result_storage_key="rows-{parameters[day]}")
def rows(day):
    calls.append(day)
    return day * 2


@flow
def main():
    return rows("a"), rows("b"), rows("a")


print(main(), main(), calls)
