"""States of a map."""

from prefect import flow, task


@task
def t(x):
    if x == 2:
        raise ValueError
    return x


@flow
def main():
    return [s.type.value for s in t.map([1, 2, 3], return_state=True)]


print(main())
