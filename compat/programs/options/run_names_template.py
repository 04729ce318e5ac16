"""Names of runs with parameters in braces."""

from prefect import flow, task, runtime


@task(task_run_name="load-{table}")
def load(table):
    return runtime.task_run.name


@flow(flow_run_name="for-{day}")
def main(day: str):
    return runtime.flow_run.name, load("orders")


print(main("monday"))
