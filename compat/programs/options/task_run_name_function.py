"""A function names the task run, from the parameters of the run."""

from prefect import flow, task, runtime


def name():
    return "greet-" + runtime.task_run.parameters["who"]


@task(task_run_name=name)
def greet(who):
    return runtime.task_run.name


@flow
def main():
    return greet("ada")


print(main())
