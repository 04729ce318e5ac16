"""The default names of task runs."""

from prefect import flow, runtime, task


@task
def t():
    return runtime.task_run.name


@flow
def main():
    names = [t(), t()]
    return len(set(names)), all(n.startswith("t-") for n in names)


print(main())
