"""The version of a flow."""

from prefect import flow


@flow(version="7")
def main(): ...


print(main.version)
