"""A flow that returns a generator."""

from prefect import flow


@flow
def main():
    return (i for i in range(3))


got = main()
print(type(got).__name__, list(got))
