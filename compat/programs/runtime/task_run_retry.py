"""The number of the attempt."""

from prefect import flow, runtime, task

counts = []


@task(retries=2)
def t():
    counts.append(runtime.task_run.run_count)
    if len(counts) < 3:
        raise ValueError


@flow
def main():
    t()


main()
print(counts)
