"""The task runner's old name."""

from prefect import flow, task
from prefect.task_runners import ConcurrentTaskRunner


@task
def t(x):
    return x


@flow(task_runner=ConcurrentTaskRunner())
def main():
    return [f.result() for f in [t.submit(1), t.submit(2)]]


print(main())
