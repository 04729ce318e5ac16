"""A task without a flow."""

from prefect import task


@task
def t(x):
    return x


print(t(1), t.submit(2).result(), t.map([3, 4]).result())
