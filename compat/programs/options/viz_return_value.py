"""A value for drawings."""

from prefect import flow, task


@task(viz_return_value=[1])
def t():
    return [5]


@flow
def main():
    return t()


print(main())
