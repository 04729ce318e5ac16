"""What a notification reads of the task run."""

from prefect import flow, task


def notify(task, task_run, state):
    print(
        task_run.state_name,
        task_run.state_type.value,
        task.retries,
        task.tags,
        task_run.flow_run_id is not None,
        task_run.run_count,
    )
    print(
        task_run.name.startswith("t-"),
        task_run.task_key.startswith("t"),
        task_run.start_time is not None,
        task_run.cache_key,
    )


@task(on_completion=[notify])
def t(): ...
@flow
def main():
    t()


main()
