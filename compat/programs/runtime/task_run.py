"""What a task can read of itself."""

from prefect import flow, runtime, task


@task
def t(x):
    r = runtime.task_run
    return r.task_name, r.parameters, r.run_count, r.id is not None, r.name.startswith("t-")


@flow
def main():
    return t(5)


print(main())
