"""A child flow that fails."""

from prefect import flow


@flow
def child():
    raise ValueError("c")


@flow
def main():
    child()


try:
    main()
except ValueError as e:
    print("ValueError", e)
