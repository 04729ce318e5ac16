"""Two tasks of one name."""

from prefect import flow, task

a = task(lambda: "a", name="step")
b = task(lambda: "b", name="step")


@flow
def main():
    return a(), b()


print(main())
