"""map over the futures of a map."""

from prefect import flow, task


@task
def inc(x):
    return x + 1


@flow
def main():
    return inc.map(inc.map([1, 2])).result()


print(main())
