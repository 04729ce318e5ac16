"""runtime outside of runs."""

from prefect import runtime

print(
    runtime.flow_run.id, runtime.flow_run.parameters, runtime.task_run.id, runtime.task_run.name, runtime.deployment.id
)
