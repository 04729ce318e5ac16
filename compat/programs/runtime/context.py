"""The context of the run."""

from prefect import flow, task
from prefect.context import FlowRunContext, TaskRunContext, get_run_context


@task
def t():
    c = get_run_context()
    return isinstance(c, TaskRunContext), c.task.name, c.task_run.name is not None, FlowRunContext.get().flow.name


@flow
def main():
    c = get_run_context()
    return c.flow.name, c.flow_run.name is not None, c.parameters, t()


print(main())
