"""A generator as a flow."""

from prefect import flow


@flow
def numbers(n: int):
    for i in range(n):
        yield i


print(list(numbers(3)))
