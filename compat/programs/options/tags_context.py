"""Tags of all runs in a block."""

from prefect import flow, task, tags, runtime


@task(tags=["own"])
def t():
    return sorted(runtime.task_run.tags)


@flow
def main():
    with tags("a", "b"):
        inner = t()
    return inner, t()


print(main())
