"""Order without data."""

from prefect import flow, task

order = []


@task
def t(x):
    order.append(x)


@flow
def main():
    first = t.submit("first")
    second = t.submit("second", wait_for=[first])
    second.wait()
    return order


print(main())
