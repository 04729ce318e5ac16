"""The exception of a failed state."""

from prefect import flow


@flow
def main():
    raise ValueError("broken")


print(repr(main(return_state=True).result(raise_on_failure=False)))
