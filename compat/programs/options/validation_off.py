"""Validation can be switched off."""

from prefect import flow


@flow(validate_parameters=False)
def main(n: int):
    return n


print(repr(main("41")))
