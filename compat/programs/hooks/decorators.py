"""Hooks added by decorators."""

from prefect import flow, task


@task
def t(): ...
@t.on_completion
def after_task(task, task_run, state):
    print("task", task.name, state.is_completed())


@flow
def main():
    t()


@main.on_completion
def after_flow(flow, flow_run, state):
    print("flow", flow.name)


main()
