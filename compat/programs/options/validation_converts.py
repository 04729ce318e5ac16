"""Parameters of flows are converted to their types."""

from prefect import flow


@flow
def main(n: int, ratio: float = 1, on: bool = False):
    return n + 1, ratio, on


print(main("41", "2.5", "true"))
