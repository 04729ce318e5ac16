"""map over the result of another task."""

from prefect import flow, task


@task
def days():
    return ["mon", "tue"]


@task
def load(d):
    return d.upper()


@flow
def main():
    return load.map(days.submit()).result()


print(main())
