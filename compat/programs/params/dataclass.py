"""A dataclass as a parameter."""

from dataclasses import dataclass
from prefect import flow


@dataclass
class Point:
    x: int
    y: int


@flow
def main(p: Point):
    return p.x + p.y


print(main(Point(1, 2)))
