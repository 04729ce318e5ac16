"""Literals are checked."""

from typing import Literal
from prefect import flow


@flow
def main(env: Literal["dev", "prod"]):
    return env


print(main("dev"))
print(main("test", return_state=True).type.value)
