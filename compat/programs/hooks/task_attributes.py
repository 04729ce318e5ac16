"""What code reads of a task."""

from prefect import task


@task(retries=2, tags=["a"], timeout_seconds=5, persist_result=True)
def t(x): ...


print(
    t.retries,
    t.tags,
    t.timeout_seconds,
    t.persist_result,
    t.fn.__name__,
    t.isasync,
    t.isgenerator,
    t.task_run_name,
    t.refresh_cache,
)
