"""A key of the context of the run."""

from prefect import flow, task

calls = []


def key(context, parameters):
    return f"{context.task.task_key}-{parameters['x']}-{context.task_run.task_inputs is not None}"


@task(cache_key_fn=key)
def t(x):
    calls.append(x)
    return x


@flow
def main():
    return t(1), t(1)


print(main(), calls)
