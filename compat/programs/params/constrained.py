"""Constraints of fields."""

from typing import Annotated
from pydantic import Field
from prefect import flow


@flow
def main(n: Annotated[int, Field(gt=0)]):
    return n


print(main(3), main(0, return_state=True).type.value)
