"""A script with a main guard."""

from prefect import flow


@flow
def main(name: str = "world"):
    print(f"hello {name}")


if __name__ == "__main__":
    main("there")
