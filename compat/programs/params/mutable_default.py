"""A mutable default is the function's own."""

from prefect import flow


@flow
def main(xs: list = []):
    return len(xs)


print(main(), main([1]))
