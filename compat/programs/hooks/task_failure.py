"""A hook of a task, called once after the retries."""

from prefect import flow, task


def failed(task, task_run, state):
    print("task failed", task.name, state.message)


@task(retries=1, on_failure=[failed])
def t():
    raise ValueError("bad")


@flow
def main():
    t(return_state=True)


main()
