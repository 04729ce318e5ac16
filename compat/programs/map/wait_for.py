"""A map that waits for a task."""

from prefect import flow, task

seen = []


@task
def prepare():
    seen.append("prepare")


@task
def t(x):
    seen.append("item")


@flow
def main():
    t.map([1, 2], wait_for=[prepare.submit()]).wait()
    return seen


print(main())
