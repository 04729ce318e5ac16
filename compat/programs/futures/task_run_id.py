"""Each future has an id."""

from uuid import UUID
from prefect import flow, task


@task
def t(): ...
@flow
def main():
    a, b = t.submit(), t.submit()
    return isinstance(a.task_run_id, UUID), a.task_run_id != b.task_run_id


print(main())
