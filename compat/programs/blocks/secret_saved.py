"""A secret that is saved and loaded."""

from prefect import flow
from prefect.blocks.system import Secret

Secret(value="hidden").save("compat-key", overwrite=True)


@flow
def main():
    return Secret.load("compat-key").get()


print(main())
