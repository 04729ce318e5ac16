"""The result of a map with a failed item."""

from prefect import flow, task


@task
def t(x):
    if x == 2:
        raise ValueError("two")
    return x


@flow
def main():
    fs = t.map([1, 2, 3])
    return [repr(r) for r in fs.result(raise_on_failure=False)]


print(main())
