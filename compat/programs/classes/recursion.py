"""A flow that calls itself."""

from prefect import flow


@flow
def down(n: int):
    return 0 if n == 0 else 1 + down(n - 1)


print(down(2))
