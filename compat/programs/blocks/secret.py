"""A secret."""

from prefect.blocks.system import Secret

s = Secret(value="token")
print(s.get(), "token" in repr(s))
