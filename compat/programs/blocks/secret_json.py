"""A secret of several values."""

from prefect.blocks.system import Secret

Secret(value={"user": "u", "password": "p"}).save("compat-pair", overwrite=True)
print(Secret.load("compat-pair").get()["user"])
