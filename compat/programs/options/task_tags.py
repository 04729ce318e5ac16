"""Tags of tasks."""

from prefect import flow, task


@task(tags=["io", "slow"])
def t():
    from prefect.runtime import task_run

    return sorted(task_run.tags)


@flow
def main():
    return t()


print(main(), sorted(t.tags))
