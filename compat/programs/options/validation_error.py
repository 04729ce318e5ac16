"""A parameter that cannot be converted."""

from prefect import flow
from prefect.exceptions import ParameterTypeError


@flow
def main(n: int):
    return n


try:
    main("many")
except ParameterTypeError:
    print("ParameterTypeError")
