"""Enumerations."""

from enum import Enum
from prefect import flow


class Mode(Enum):
    FULL = "full"
    DELTA = "delta"


@flow
def main(mode: Mode = Mode.FULL):
    return mode.name


print(main(), main("delta"), main(Mode.DELTA))
