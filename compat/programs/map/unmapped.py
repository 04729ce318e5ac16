"""A value that each item gets whole."""

from prefect import flow, task, unmapped


@task
def t(x, ys):
    return x + sum(ys)


@flow
def main():
    return t.map([1, 2], unmapped([10, 20])).result()


print(main())
