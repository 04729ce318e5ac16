"""A task runner with a number of workers."""

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner


@task
def t(x):
    return x + 1


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def main():
    return t.map(range(5)).result()


print(main())
