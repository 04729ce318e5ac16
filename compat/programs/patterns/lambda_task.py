"""A task made of a lambda, with a name."""

from prefect import flow, task

double = task(lambda x: x * 2, name="double")


@flow
def main():
    return double(4)


print(main())
