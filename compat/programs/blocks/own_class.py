"""A block class of the program itself."""

from prefect.blocks.core import Block
from pydantic import SecretStr


class Database(Block):
    host: str
    password: SecretStr
    port: int = 5432


d = Database(host="db", password="p")
print(d.host, d.port, d.password.get_secret_value())
