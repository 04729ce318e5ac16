"""Optional lists with a default."""

from typing import List, Optional
from prefect import flow


@flow
def main(days: Optional[List[str]] = None):
    if days is None:
        days = ["mon"]
    return days


print(main(), main(["tue"]))
