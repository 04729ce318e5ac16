"""A pydantic model as a parameter."""

from pydantic import BaseModel
from prefect import flow


class Config(BaseModel):
    name: str
    size: int = 1


@flow
def main(config: Config):
    return config.name, config.size


print(main(Config(name="a")), main({"name": "b", "size": "2"}))
