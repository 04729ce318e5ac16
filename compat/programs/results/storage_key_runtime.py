"""A key of the names of the run."""

from prefect import flow, task

calls = []


@task(persist_result=True, result_storage_key="{flow_run.flow_name}-{task_run.task_name}")
def t():
    calls.append(1)
    return "x"


@flow(name="kept")
def main():
    return t(), t()


print(main(), len(calls))
