"""A function of the parameters names the task run."""

from prefect import flow, task, runtime


def name(parameters):
    return "item-" + str(parameters["n"])


@task(task_run_name=name)
def t(n):
    return runtime.task_run.name


@flow
def main():
    return t(3)


print(main())
