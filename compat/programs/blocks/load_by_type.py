"""A block that is loaded by its type and name."""

from prefect.blocks.core import Block


class Database(Block):
    host: str = "none"


Database(host="db.example.com").save("main", overwrite=True)
loaded = Block.load("database/main")
print(type(loaded).__name__, loaded.host)
