"""A task made in a flow."""

from prefect import flow, task


@flow
def main(n: int):
    @task
    def local(x):
        return x * n

    return local.map([1, 2]).result()


print(main(3))
