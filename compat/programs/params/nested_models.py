"""Models in lists."""

from pydantic import BaseModel
from prefect import flow


class Item(BaseModel):
    sku: str
    n: int


@flow
def main(items: list[Item]):
    return sum(i.n for i in items)


print(main([{"sku": "a", "n": 1}, Item(sku="b", n=2)]))
