"""A future and its result."""

from prefect import flow, task


@task
def t(x):
    return x * x


@flow
def main():
    f = t.submit(4)
    return f.result()


print(main())
