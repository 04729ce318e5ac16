"""A task runner given as a class."""

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner


@task
def t(x):
    return x


@flow(task_runner=ThreadPoolTaskRunner)
def main():
    return t.map([1, 2]).result()


print(main())
