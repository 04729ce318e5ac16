"""map over a generator."""

from prefect import flow, task


@task
def t(x):
    return x


@flow
def main():
    return t.map(i * i for i in range(3)).result()


print(main())
